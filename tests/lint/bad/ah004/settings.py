INSTALLED_APPS = ["django.contrib.auth"]
ALLOWED_HOSTS = ["*"]
