INSTALLED_APPS = ["django.contrib.auth"]
SECURE_SSL_REDIRECT = True if
ALLOWED_HOSTS = "example.com"
