//! The form that carries a call: `Action=…&InstanceId.1=…`.

use std::collections::BTreeMap;

/// The parameters of a call.
#[derive(Clone, Debug, Default)]
pub struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads a form body, and a query string where there is no body.
    pub fn parse(body: &[u8], query: &str) -> Self {
        let body = String::from_utf8_lossy(body);
        let form = if body.is_empty() { query } else { body.as_ref() };
        let pairs = form.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decoded(name), decoded(value))
                })
                .collect(),
        )
    }

    /// One parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The values of a list parameter, `NAME.1`, `NAME.2` …, in order.
    pub fn list(&self, name: &str) -> Vec<&str> {
        (1..).map_while(|index| self.get(&format!("{name}.{index}"))).collect()
    }

    /// Every parameter.
    pub fn parameters(&self) -> BTreeMap<String, String> {
        self.0.clone()
    }
}

/// Undoes percent-encoding and `+` for a space; a broken escape stays as it is.
pub(crate) fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        let value = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        at += if value.is_some() { 3 } else { 1 };
        out.push(value.unwrap_or(if byte == b'+' { b' ' } else { byte }));
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded() {
        let query = Query::parse(
            b"Action=CreateTags&Tag.1.Value=a+b%3A%C3%A9%zz%&ResourceId.1=i-1&ResourceId.2=i-2",
            "",
        );
        assert_eq!(query.get("Tag.1.Value"), Some("a b:é%zz%"));
        assert_eq!(query.list("ResourceId"), ["i-1", "i-2"]);
        assert_eq!(Query::parse(b"", "Action=X").get("Action"), Some("X"));
    }
}
