INSTALLED_APPS = ["django.contrib.auth"]
import os

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.core.RedisChanelLayer",
        "CONFIG": {"hosts": os.environ.get("REDIS_URL", "redis://localhost:6379")},
    }
}
