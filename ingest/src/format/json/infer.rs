//! The shape of JSON values, worked out from a sample while it is parsed.

use std::{collections::HashMap, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// Everything a value at one place has been.
#[derive(Debug, Default)]
pub(super) struct Shape {
    pub(super) boolean: bool,
    /// Integers that fit 64 bits with a sign.
    pub(super) integer: bool,
    pub(super) negative: bool,
    /// Integers that fit 64 bits only without a sign.
    pub(super) large: bool,
    pub(super) float: bool,
    pub(super) string: bool,
    pub(super) object: Option<Fields>,
    pub(super) list: Option<Box<Shape>>,
}

/// The fields of objects, in the order in which they first came up.
#[derive(Debug, Default)]
pub(super) struct Fields {
    pub(super) shapes: Vec<(String, Shape)>,
    places: HashMap<String, usize>,
}

impl Fields {
    fn shape(&mut self, name: String) -> Option<&mut Shape> {
        let place = match self.places.get(&name) {
            Some(place) => *place,
            None => {
                let place = self.shapes.len();
                self.places.insert(name.clone(), place);
                self.shapes.push((name, Shape::default()));
                place
            }
        };
        self.shapes.get_mut(place).map(|(_, shape)| shape)
    }
}

/// Adds the record `text`, which must be an object.
///
/// # Errors
/// When it is no JSON, or no object; nothing useful is known about the place then.
pub(super) fn add_record(fields: &mut Fields, text: &[u8]) -> Result<(), serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    deserializer.deserialize_map(Record(fields))?;
    deserializer.end()
}

struct Record<'a>(&'a mut Fields);

impl<'de> Visitor<'de> for Record<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        add_fields(self.0, &mut map)
    }
}

fn add_fields<'de, A: MapAccess<'de>>(fields: &mut Fields, map: &mut A) -> Result<(), A::Error> {
    while let Some(name) = map.next_key::<String>()? {
        let shape = fields.shape(name).ok_or_else(|| A::Error::custom("a field got lost"))?;
        map.next_value_seed(shape)?;
    }
    Ok(())
}

impl<'de> DeserializeSeed<'de> for &mut Shape {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Shape {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.boolean = true;
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.integer = true;
        self.negative |= value < 0;
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.integer = true;
        self.large |= i64::try_from(value).is_err();
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.float = true;
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        self.string = true;
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let item = self.list.get_or_insert_default();
        while seq.next_element_seed(&mut **item)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        add_fields(self.object.get_or_insert_default(), &mut map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_gather_what_they_were() {
        let mut fields = Fields::default();
        add_record(&mut fields, br#"{"z": 1, "a": {"y": null, "x": [1, 2.5]}}"#).unwrap();
        add_record(&mut fields, br#"{"a": {"x": []}, "b": "text", "z": -1}"#).unwrap();
        let names: Vec<_> = fields.shapes.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["z", "a", "b"]);
        assert!(fields.shapes[0].1.integer && fields.shapes[0].1.negative);
        let inner = fields.shapes[1].1.object.as_ref().unwrap();
        assert!(inner.shapes[1].1.list.as_ref().unwrap().float);
    }

    #[test]
    fn only_objects_are_records() {
        let mut fields = Fields::default();
        assert!(add_record(&mut fields, b"[1]").unwrap_err().to_string().contains("an object"));
        assert!(add_record(&mut fields, b"{\"a\":1} x").is_err());
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(5000), "]".repeat(5000));
        assert!(add_record(&mut fields, deep.as_bytes()).is_err(), "no stack overflow");
    }
}
