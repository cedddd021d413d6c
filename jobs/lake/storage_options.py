"""How object stores are reached: options for delta-rs and Arrow, and the same in Hadoop's words for Spark."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from pyspark.sql import SparkSession

from jobs.settings import LakeSettings

_HADOOP = {
    "AWS_ACCESS_KEY_ID": "fs.s3a.access.key",
    "AWS_SECRET_ACCESS_KEY": "fs.s3a.secret.key",
    "AWS_SESSION_TOKEN": "fs.s3a.session.token",
    "AWS_REGION": "fs.s3a.endpoint.region",
}
_ENDPOINT, _SSL, _PATH_STYLE = "fs.s3a.endpoint", "fs.s3a.connection.ssl.enabled", "fs.s3a.path.style.access"
KEYS = (*_HADOOP.values(), _ENDPOINT, _SSL, _PATH_STYLE)
"""The Hadoop settings that have a say."""
_PREFIX = "spark.hadoop."


def resolver(settings: LakeSettings, session: Callable[[], SparkSession]) -> Callable[[], Mapping[str, str]]:
    """What gives the options when they are first asked for: those of the settings, else those of Spark's session."""

    @cache
    def options() -> Mapping[str, str]:
        if settings.storage_options:
            return {name: value.get_secret_value() for name, value in settings.storage_options.items()}
        hadoop = session().sparkContext._jsc.hadoopConfiguration()
        return from_hadoop({key: hadoop.get(key) or "" for key in KEYS})

    return options


def tell_spark(spark: SparkSession, settings: LakeSettings) -> None:
    """Give the session the options of the settings; never by its command line, which everyone on the machine sees."""
    given = {name: value.get_secret_value() for name, value in settings.storage_options.items()}
    if not given:
        return
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    for key, value in to_hadoop(given).items():
        hadoop.set(key, value)


def from_hadoop(conf: Mapping[str, str]) -> dict[str, str]:
    """The options that Hadoop's S3 settings amount to (with or without `spark.hadoop.`); other settings have no say."""
    known = {key.removeprefix(_PREFIX): value for key, value in conf.items()}
    options = {name: known[key] for name, key in _HADOOP.items() if known.get(key)}
    endpoint = known.get(_ENDPOINT, "")
    if endpoint:
        scheme = "http" if known.get(_SSL, "true").lower() == "false" else "https"
        options["AWS_ENDPOINT_URL"] = endpoint if "://" in endpoint else f"{scheme}://{endpoint}"
        if options["AWS_ENDPOINT_URL"].startswith("http://"):
            options["AWS_ALLOW_HTTP"] = "true"
        if known.get(_PATH_STYLE, "false").lower() != "true":
            options["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"] = "true"
    return options


def to_hadoop(options: Mapping[str, str]) -> dict[str, str]:
    """Hadoop's settings (without `spark.hadoop.`) for the options, so that Spark reaches what delta-rs reaches."""
    given = {name.upper(): value for name, value in options.items()}
    conf = {key: given[name] for name, key in _HADOOP.items() if given.get(name)}
    endpoint = given.get("AWS_ENDPOINT_URL", "")
    if endpoint:
        virtual = given.get("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "false").lower() == "true"
        conf |= {_ENDPOINT: endpoint, _PATH_STYLE: str(not virtual).lower()}
        conf[_SSL] = str(not endpoint.startswith("http://")).lower()
    return conf
