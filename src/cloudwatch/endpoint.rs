//! Where AWS's services listen: where the environment says, or by region. Pure.

use url::Url;

/// Partitions whose domain is not that of all others: how their regions begin (`partitions.json` of botocore).
const DOMAINS: [(&str, &str); 6] = [
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
    ("us-isof-", "csp.hci.ic.gov"),
];

/// Regions that `legacy` sends to the one global STS ("AWS STS Regional endpoints", AWS SDKs and Tools Reference Guide).
const LEGACY_STS: [&str; 15] = [
    "ap-northeast-1",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

/// An address, and the region that requests to it are signed for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub url: Url,
    pub region: String,
}

/// The regional endpoint of a service, such as `monitoring`.
pub(super) fn regional(service: &str, region: &str) -> Result<Endpoint, String> {
    let domain = DOMAINS.iter().find(|(prefix, _)| region.starts_with(prefix)).map_or("amazonaws.com", |(_, domain)| domain);
    let url = Url::parse(&format!("https://{service}.{region}.{domain}/"));
    let url = url.map_err(|error| format!("no endpoint can be made of region {region}: {error}"))?;
    Ok(Endpoint { url, region: region.to_owned() })
}

/// The endpoint of STS: the region's own, unless this host's settings ask for the global one where there was none other once.
pub(super) fn sts(region: &str, legacy: bool) -> Result<Endpoint, String> {
    if legacy && LEGACY_STS.contains(&region) {
        let url = Url::parse("https://sts.amazonaws.com/").map_err(|error| error.to_string())?;
        return Ok(Endpoint { url, region: "us-east-1".to_owned() });
    }
    regional("sts", region)
}

/// What the environment sets for a service, by its name there, such as `STS` ("Service-specific endpoints", AWS SDKs and Tools
/// Reference Guide).
///
/// # Errors
/// It is not the URL of a host.
pub(super) fn of_environment(service: &str, var: impl Fn(&str) -> Option<String>) -> Result<Option<Url>, String> {
    if var("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let names = [format!("AWS_ENDPOINT_URL_{service}"), "AWS_ENDPOINT_URL".to_owned()];
    let Some((name, text)) = names.into_iter().find_map(|name| var(&name).map(|text| (name, text))) else { return Ok(None) };
    let url = Url::parse(&text).ok().filter(|url| {
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        matches!(url.scheme(), "http" | "https") && bare
    });
    url.map(Some).ok_or_else(|| format!("{name} has to be http:// or https:// and a host, without a path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_its_domain() {
        for (region, host) in [
            ("us-east-1", "monitoring.us-east-1.amazonaws.com"),
            ("us-gov-west-1", "monitoring.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", "monitoring.cn-north-1.amazonaws.com.cn"),
            ("eusc-de-east-1", "monitoring.eusc-de-east-1.amazonaws.eu"),
            ("us-isob-east-1", "monitoring.us-isob-east-1.sc2s.sgov.gov"),
        ] {
            let endpoint = regional("monitoring", region).unwrap();
            assert_eq!((endpoint.url.as_str(), endpoint.region.as_str()), (format!("https://{host}/").as_str(), region));
        }
    }

    #[test]
    fn sts_is_regional_unless_legacy_is_asked_for_where_there_was_a_global_one() {
        let of = |region, legacy| sts(region, legacy).map(|endpoint| (endpoint.url.to_string(), endpoint.region)).unwrap();
        let pair = |url: &str, region: &str| (url.to_owned(), region.to_owned());
        assert_eq!(of("eu-west-1", false), pair("https://sts.eu-west-1.amazonaws.com/", "eu-west-1"));
        assert_eq!(of("eu-west-1", true), pair("https://sts.amazonaws.com/", "us-east-1"));
        assert_eq!(of("me-south-1", true), pair("https://sts.me-south-1.amazonaws.com/", "me-south-1"));
        assert_eq!(of("us-gov-west-1", true), pair("https://sts.us-gov-west-1.amazonaws.com/", "us-gov-west-1"));
        assert_eq!(of("cn-north-1", true), pair("https://sts.cn-north-1.amazonaws.com.cn/", "cn-north-1"));
    }

    #[test]
    fn the_environment_names_an_endpoint_for_one_service_or_for_all_and_can_be_told_not_to() {
        let of = |vars: &[(&str, &str)]| {
            let found =
                of_environment("STS", |name| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()));
            found.map(|url| url.map(|url| url.to_string()))
        };
        let (all, one) = (("AWS_ENDPOINT_URL", "http://all:1"), ("AWS_ENDPOINT_URL_STS", "http://one:1"));
        assert_eq!(of(&[all, one]), Ok(Some("http://one:1/".to_owned())));
        assert_eq!(of(&[all]), Ok(Some("http://all:1/".to_owned())));
        assert_eq!(of(&[("AWS_ENDPOINT_URL_CLOUDWATCH", "http://other:1")]), Ok(None));
        assert_eq!(of(&[all, one, ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")]), Ok(None));
        for bad in ["nonsense", "ftp://host", "https://host/path", "https://host/?x=1"] {
            let error = of(&[("AWS_ENDPOINT_URL_STS", bad)]).unwrap_err();
            assert!(error.starts_with("AWS_ENDPOINT_URL_STS has to be"), "{bad}: {error}");
        }
    }
}
