INSTALLED_APPS = ["channels", "django.contrib.staticfiles"]
