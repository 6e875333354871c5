//! `MIDDLEWARE`: the SECURE_* settings are read by SecurityMiddleware alone.

use super::{Scope, when};
use crate::lint::catalog::MID001;
use crate::lint::finding::Finding;
use crate::lint::value::Kind;

const SECURITY: &str = "django.middleware.security.SecurityMiddleware";
const COMMON: &str = "django.middleware.common.CommonMiddleware";

pub fn check(scope: &Scope<'_>, found: &mut Vec<Finding>) {
    if !scope.complete || scope.development {
        return;
    }
    let on = |name: &str| scope.get(name).iter().any(|a| a.value.truth() == Some(true));
    for alternative in scope.get("MIDDLEWARE") {
        let (value, when) = (&alternative.value, when(&alternative.when));
        let Some(items) = value.sequence() else { continue };
        if items.iter().any(|item| !matches!(item.kind, Kind::Str(_))) {
            continue; // what is not seen may be it
        }
        let position = |name: &str| items.iter().position(|item| item.as_str() == Some(name));
        // a subclass of it does as well
        let security = position(SECURITY)
            .or_else(|| items.iter().position(|i| i.as_str().is_some_and(|i| i.ends_with("SecurityMiddleware"))));
        match (security, position(COMMON)) {
            (None, _) if on("SECURE_SSL_REDIRECT") || on("SECURE_HSTS_SECONDS") => {
                let message = format!(
                    "SecurityMiddleware is not in MIDDLEWARE{when}: SECURE_SSL_REDIRECT and SECURE_HSTS_SECONDS do nothing"
                );
                found.push(scope.at(&MID001, value, message).help(format!("put \"{SECURITY}\" first")));
            }
            (Some(security), Some(common)) if common < security && on("PREPEND_WWW") => {
                let message =
                    format!("CommonMiddleware comes before SecurityMiddleware{when}: PREPEND_WWW redirects to http://www first");
                let place = if value.assigned.holds(items[security].at) { items[security].at } else { value.shown() };
                found.push(Finding::new(&MID001, place, message).help(format!("put \"{SECURITY}\" first")));
            }
            _ => {}
        }
    }
}
