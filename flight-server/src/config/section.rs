//! How a section of the configuration declares its keys, once, for the loader, the printer and the reference.

use toml_edit::Value;

use super::values::Raw;

/// One key, described.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its name within the section.
    pub name: &'static str,
    /// What it does, in Markdown.
    pub doc: &'static str,
    /// The kind of value, such as `size`.
    pub kind: &'static str,
}

/// A table of the configuration file.
pub trait Section {
    /// The table's name.
    fn name(&self) -> &'static str;
    /// What it is about.
    fn doc(&self) -> &'static str;
    /// Its keys, in the order of the reference.
    fn keys(&self) -> Vec<Key>;
    /// Sets one key.
    ///
    /// # Errors
    /// What is wrong with the value, as a phrase such as `expected a size such as "512MiB", found "lots"`.
    fn set(&mut self, key: &str, raw: Raw<'_>) -> Result<(), String>;
    /// The value of one key; `None` when it is not set or does not exist.
    fn get(&self, key: &str) -> Option<Value>;
}

/// Declares a section: the struct, its `Default` and its [`Section`] from one list of keys.
macro_rules! section {
    (
        $(#[doc = $section_doc:literal])*
        $Name:ident = $section:literal {
            $( $(#[doc = $doc:literal])* $key:ident : $ty:ty = $default:expr, )*
        }
        $( also { $( $(#[doc = $also_doc:literal])* $also:ident : $also_ty:ty, )* } )?
    ) => {
        $(#[doc = $section_doc])*
        #[derive(Debug, Clone)]
        pub struct $Name {
            $( $(#[doc = $doc])* pub $key: $ty, )*
            $( $( $(#[doc = $also_doc])* pub $also: $also_ty, )* )?
        }

        impl Default for $Name {
            fn default() -> Self {
                Self { $( $key: $default, )* $( $( $also: Default::default(), )* )? }
            }
        }

        impl $crate::config::Section for $Name {
            fn name(&self) -> &'static str {
                $section
            }

            fn doc(&self) -> &'static str {
                concat!($($section_doc, "\n"),*)
            }

            fn keys(&self) -> Vec<$crate::config::Key> {
                vec![ $( $crate::config::Key {
                    name: stringify!($key),
                    doc: concat!($($doc, "\n"),*),
                    kind: <$ty as $crate::config::Setting>::KIND,
                }, )* ]
            }

            fn set(&mut self, key: &str, raw: $crate::config::values::Raw<'_>) -> Result<(), String> {
                match key {
                    $( stringify!($key) => self.$key = <$ty as $crate::config::Setting>::read(raw)?, )*
                    _ => return Err(format!("there is no such key in [{}]", $section)),
                }
                Ok(())
            }

            fn get(&self, key: &str) -> Option<toml_edit::Value> {
                match key {
                    $( stringify!($key) => $crate::config::Setting::show(&self.$key), )*
                    _ => None,
                }
            }
        }
    };
}

pub(super) use section;
