from pathlib import Path

from configurations import Configuration, values


class Common(Configuration):
    BASE_DIR = Path(__file__).resolve().parent
    SECRET_KEY = values.SecretValue()
    DEBUG = values.BooleanValue(False)
    ALLOWED_HOSTS = values.ListValue(["example.com"])
    INSTALLED_APPS = ["django.contrib.auth", "django.contrib.staticfiles"]
    MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
    ROOT_URLCONF = "project.urls"
    DATABASES = values.DatabaseURLValue("sqlite:///db.sqlite3")

    @property
    def STATIC_ROOT(self):
        return self.BASE_DIR / "static"


class Development(Common):
    DEBUG = True
    ALLOWED_HOSTS = []
    SECURE_SSL_REDIRECT = False


class Production(Common):
    SECURE_SSL_REDIRECT = values.BooleanValue(True)
    SECURE_HSTS_SECONDS = values.IntegerValue(31536000)
    SECURE_PROXY_SSL_HEADER = values.TupleValue(("HTTP_X_FORWARDED_PROTO", "https"))
