INSTALLED_APPS = ["django.contrib.auth"]
SECURE_SSL_REDIRECT = "False"
