from typing import Final

INSTALLED_APPS: tuple[str, ...] = ("django.contrib.auth", "django.contrib.staticfiles")
MIDDLEWARE: tuple[str, ...] = (
    "django_http_referrer_policy.middleware.ReferrerPolicyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
)
ROOT_URLCONF: Final = "project.urls"
USE_TZ = True
