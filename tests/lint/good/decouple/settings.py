from decouple import Csv, config
from dj_database_url import parse as db_url
from unipath import Path

BASE_DIR = Path(__file__).parent
DEBUG = config("DEBUG", default=False, cast=bool)
SECRET_KEY = config("SECRET_KEY")
ALLOWED_HOSTS = config("ALLOWED_HOSTS", default="localhost, 127.0.0.1", cast=Csv())
CSRF_TRUSTED_ORIGINS = config("CSRF_TRUSTED_ORIGINS", default="", cast=lambda v: [s.strip() for s in v.split(",") if s])
DATABASES = {"default": config("DATABASE_URL", default="sqlite:///" + BASE_DIR.child("db.sqlite3"), cast=db_url)}
EMAIL_PORT = config("EMAIL_PORT", default=25, cast=int)
INSTALLED_APPS = ("django.contrib.auth", "django.contrib.staticfiles")
MIDDLEWARE = ("django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware")
ROOT_URLCONF = "project.urls"
SECURE_SSL_REDIRECT = config("SECURE_SSL_REDIRECT", default=not DEBUG, cast=bool)
SECURE_PROXY_SSL_HEADER = config("SECURE_PROXY_SSL_HEADER", default="HTTP_X_FORWARDED_PROTO,https", cast=Csv(post_process=tuple))
SECURE_HSTS_SECONDS = config("SECURE_HSTS_SECONDS", default=31536000, cast=int)
