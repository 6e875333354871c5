INSTALLED_APPS = ["django.contrib.auth"]
# é
