//! A deserializer that does not see some of the keys, so that these have their defaults, and that remembers where a value
//! was refused.

use std::cell::RefCell;
use std::collections::HashSet;

use serde::de::value::StrDeserializer;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};

use super::tree::Place;

/// What is left out, and where the reading is.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) left_out: HashSet<Place>,
    place: RefCell<Place>,
    refused: RefCell<Option<Place>>,
}

impl Reading {
    /// The value that could not be read, if that was it.
    pub(super) fn refused(self) -> Option<Place> {
        self.refused.into_inner()
    }

    /// Reads a value that is at `key`.
    fn below<T, E>(&self, key: &str, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.place.borrow_mut().push(key.to_owned());
        let result = read();
        if result.is_err() && self.refused.borrow().is_none() {
            self.refused.replace(Some(self.place.borrow().clone()));
        }
        self.place.borrow_mut().pop();
        result
    }

    fn leaves_out(&self, key: &str) -> bool {
        let mut place = self.place.borrow().clone();
        place.push(key.to_owned());
        self.left_out.contains(&place)
    }
}

/// Wraps a deserializer, a visitor, a seed, or what gives entries.
pub(super) struct Without<'r, T> {
    inner: T,
    reading: &'r Reading,
}

impl<'r, T> Without<'r, T> {
    pub(super) fn new(inner: T, reading: &'r Reading) -> Self {
        Self { inner, reading }
    }
}

macro_rules! passed_on {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            self.inner.$method(visitor)
        })*
    };
}

macro_rules! wrapped {
    ($($method:ident($($argument:ident: $type:ty)?))*) => {
        $(fn $method<V: Visitor<'de>>(self, $($argument: $type,)? visitor: V) -> Result<V::Value, Self::Error> {
            self.inner.$method($($argument,)? Without::new(visitor, self.reading))
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Without<'_, D> {
    type Error = D::Error;

    // What has no keys in it.
    passed_on! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier deserialize_ignored_any
    }

    wrapped! {
        deserialize_any()
        deserialize_option()
        deserialize_seq()
        deserialize_map()
        deserialize_unit_struct(name: &'static str)
        deserialize_newtype_struct(name: &'static str)
        deserialize_tuple(len: usize)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.inner
            .deserialize_tuple_struct(name, len, Without::new(visitor, self.reading))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.inner
            .deserialize_struct(name, fields, Without::new(visitor, self.reading))
    }

    /// The configuration's enums are words only.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.inner.deserialize_enum(name, variants, visitor)
    }
}

macro_rules! visited {
    ($($method:ident: $type:ty)*) => {
        $(fn $method<E: serde::de::Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Without<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.expecting(f)
    }

    visited! {
        visit_bool: bool
        visit_i64: i64
        visit_i128: i128
        visit_u64: u64
        visit_u128: u128
        visit_f64: f64
        visit_str: &str
        visit_borrowed_str: &'de str
        visit_string: String
        visit_bytes: &[u8]
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.inner.visit_some(Without::new(deserializer, self.reading))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.inner
            .visit_newtype_struct(Without::new(deserializer, self.reading))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, values: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(Values {
            inner: values,
            next: 0,
            reading: self.reading,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<V::Value, A::Error> {
        self.inner.visit_map(Entries {
            inner: entries,
            current: String::new(),
            reading: self.reading,
        })
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Without<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(Without::new(deserializer, self.reading))
    }
}

/// A list.
struct Values<'r, A> {
    inner: A,
    next: usize,
    reading: &'r Reading,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Values<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let key = format!("[{}]", self.next);
        self.next += 1;
        let seed = Without::new(seed, self.reading);
        self.reading.below(&key, || self.inner.next_element_seed(seed))
    }
}

/// A section.
struct Entries<'r, A> {
    inner: A,
    /// The one whose value comes next.
    current: String,
    reading: &'r Reading,
}

/// Reads a key, and gives it on unless it is left out. An error of an unknown key must come while the key is read: its
/// line is known then.
struct Key<'k, S> {
    seed: &'k mut Option<S>,
    read: &'k mut String,
    reading: &'k Reading,
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Key<'_, S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        *self.read = String::deserialize(deserializer)?;
        if self.reading.leaves_out(self.read) {
            return Ok(None);
        }
        let key: StrDeserializer<'_, D::Error> = self.read.as_str().into_deserializer();
        self.seed.take().map(|seed| seed.deserialize(key)).transpose()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Entries<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let mut seed = Some(seed);
        loop {
            let key = Key {
                seed: &mut seed,
                read: &mut self.current,
                reading: self.reading,
            };
            match self.inner.next_key_seed(key)? {
                Some(Some(key)) => return Ok(Some(key)),
                Some(None) => self.inner.next_value::<IgnoredAny>().map(drop)?,
                None => return Ok(None),
            }
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = Without::new(seed, self.reading);
        let inner = &mut self.inner;
        self.reading.below(&self.current, || inner.next_value_seed(seed))
    }
}
