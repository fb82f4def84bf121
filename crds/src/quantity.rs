//! Kubernetes quantities as numbers, as far as this API needs them.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Suffixes of the quantity grammar and their value in thousandths.
/// Source: k8s.io/apimachinery/pkg/api/resource/suffix.go.
const SUFFIXES: [(&str, i128); 12] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
];

/// The value of a quantity in thousandths, so that `500m` is exact; `None` if it is no quantity.
/// Finer suffixes (`n`, `u`) and exponents are not accepted by this API.
pub fn millis(quantity: &Quantity) -> Option<i128> {
    let text = quantity.0.as_str();
    let (number, scale) = match text.strip_suffix('m') {
        Some(number) => (number, 1),
        None => SUFFIXES
            .iter()
            .find_map(|(suffix, factor)| text.strip_suffix(suffix).map(|number| (number, factor * 1_000)))
            .unwrap_or((text, 1_000)),
    };
    let (sign, number) = number.strip_prefix('-').map_or((1, number), |rest| (-1, rest));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if whole.is_empty() || digits.len() > 18 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let exponent = u32::try_from(fraction.len()).ok()?;
    Some(sign * digits.parse::<i128>().ok()? * scale / 10_i128.pow(exponent))
}

/// A size in whole bytes; `None` if it is no quantity, negative, or does not fit.
pub fn bytes(quantity: &Quantity) -> Option<u64> {
    u64::try_from(millis(quantity)? / 1_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(text: &str) -> Quantity {
        Quantity(text.into())
    }

    #[test]
    fn equal_quantities_have_equal_values() {
        for (a, b) in [
            ("1", "1000m"),
            ("1Gi", "1024Mi"),
            ("0.5", "500m"),
            ("2k", "2000"),
            ("1.5Gi", "1536Mi"),
        ] {
            assert_eq!(millis(&q(a)), millis(&q(b)), "{a} {b}");
            assert!(millis(&q(a)).is_some());
        }
    }

    #[test]
    fn what_is_no_size_has_no_bytes() {
        for text in ["-1Gi", "", "Gi", "ten", "1 Gi", "1e3"] {
            assert_eq!(bytes(&q(text)), None, "{text}");
        }
    }
}
