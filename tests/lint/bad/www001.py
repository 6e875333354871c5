INSTALLED_APPS = ["django.contrib.auth"]
PREPEND_WWW = True
