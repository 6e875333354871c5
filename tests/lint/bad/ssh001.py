INSTALLED_APPS = ["django.contrib.auth"]
SECURE_SSL_HOST = "https://www.example.com/"
