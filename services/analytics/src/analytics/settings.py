from common.settings import ServiceSettings


class Settings(ServiceSettings):
    """Analytics needs nothing beyond what every service needs."""
