//! What many types of the rules have alike: lists and names of their values, and their form in rows.

/// Declares an enum of plain variants, with the list of all of them in their order. Where each variant is given a name
/// (`Variant = "name"`), the enum knows it as text.
#[macro_export]
macro_rules! named {
    ($(#[$about:meta])* $vis:vis enum $name:ident { $($(#[$says:meta])* $variant:ident = $text:literal,)+ }) => {
        $crate::named! { $(#[$about])* $vis enum $name { $($(#[$says])* $variant,)+ } }

        impl $name {
            /// The name in answers, rows and logs.
            #[must_use]
            $vis fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
    ($(#[$about:meta])* $vis:vis enum $name:ident { $($(#[$says:meta])* $variant:ident,)+ }) => {
        $(#[$about])*
        $vis enum $name {
            $($(#[$says])* $variant,)+
        }

        impl $name {
            /// Each of them, in the order of the documentation.
            $vis const ALL: [Self; [$(stringify!($variant)),+].len()] = [$(Self::$variant),+];
        }
    };
}

/// Lets a type be stored as text, which its `FromStr` reads and the expression writes.
#[macro_export]
macro_rules! stored_as_text {
    ($name:ident, |$value:ident| $text:expr) => {
        impl TryFrom<String> for $name {
            type Error = <Self as std::str::FromStr>::Err;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from($value: $name) -> Self {
                $text
            }
        }
    };
}
