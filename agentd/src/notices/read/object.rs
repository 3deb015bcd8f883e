//! A JSON object whose keys are each there once.

use core::fmt;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// A JSON value that should be an object. An array of them is read as a whole even where one is not.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// An object.
    Object(BTreeMap<String, Value>),
    /// No object, or an object that says something twice; why.
    Bad(String),
}

impl Item {
    /// Reads a whole text as one item. RFC 8259, and no key twice.
    pub(super) fn parse(text: &str) -> Result<BTreeMap<String, Value>, String> {
        match serde_json::from_str(text) {
            Ok(Self::Object(object)) => Ok(object),
            Ok(Self::Bad(why)) => Err(why),
            Err(error) => Err(format!("it is not JSON ({error})")),
        }
    }
}

/// The text at a key: absent, or something else than text, is none.
pub(super) fn text<'o>(object: &'o BTreeMap<String, Value>, key: &str) -> Option<&'o str> {
    object.get(key).and_then(Value::as_str)
}

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Items)
    }
}

struct Items;

impl<'de> Visitor<'de> for Items {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
        let (mut object, mut twice) = (BTreeMap::new(), None);
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            if object.insert(key.clone(), value).is_some() {
                twice = Some(key);
            }
        }
        Ok(twice.map_or(Item::Object(object), |key| {
            Item::Bad(format!("it has {} twice", super::excerpt(&key)))
        }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Item, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(no_object())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Item, E> {
        Ok(no_object())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Item, E> {
        Ok(no_object())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Item, E> {
        Ok(no_object())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Item, E> {
        Ok(no_object())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Item, E> {
        Ok(no_object())
    }

    fn visit_unit<E: Error>(self) -> Result<Item, E> {
        Ok(no_object())
    }
}

fn no_object() -> Item {
    Item::Bad("it is not an object".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_and_nothing_else() {
        assert_eq!(Item::parse(r#"{"a":"b","c":[1]}"#).unwrap()["a"], "b");
        for bad in
            ["", "{", "[]", "1", "-1", "1.5", "true", "null", "\"x\"", "{} {}", "{},", "[[[]]]"]
        {
            assert!(Item::parse(bad).is_err(), "{bad}");
        }
        assert!(Item::parse(r#"{"a":1,"a":1}"#).unwrap_err().contains("twice"));
    }

    #[test]
    fn depth_is_an_error_and_not_the_end() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(Item::parse(&deep).is_err());
        assert!(serde_json::from_str::<Vec<Item>>(&"[".repeat(60_000)).is_err());
    }
}
