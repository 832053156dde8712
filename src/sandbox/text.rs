//! Text that names places of an instance: a path on this host in one sandbox, a path in a container in another.

/// A place of an instance. Only its sandbox knows where that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The instance's private directory.
    Own,
    /// The data directory in it.
    Data,
    /// A directory that holds nothing and takes nothing.
    Nowhere,
    /// The unix socket to listen on.
    Socket,
    /// The number of a port of [`super::Network::Loopback`].
    Port(&'static str),
}

/// A part of a [`Text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// These very characters.
    Plain(String),
    /// The path or number of a place.
    Place(Place),
}

impl From<&str> for Piece {
    fn from(text: &str) -> Self {
        Self::Plain(text.to_owned())
    }
}

impl From<String> for Piece {
    fn from(text: String) -> Self {
        Self::Plain(text)
    }
}

impl From<Place> for Piece {
    fn from(place: Place) -> Self {
        Self::Place(place)
    }
}

/// Plain text and places, one after the other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text(Vec<Piece>);

impl<P: Into<Piece>> From<P> for Text {
    fn from(piece: P) -> Self {
        Self(vec![piece.into()])
    }
}

impl Text {
    /// The same with `piece` behind it.
    #[must_use]
    pub fn then(mut self, piece: impl Into<Piece>) -> Self {
        self.0.push(piece.into());
        self
    }

    /// Whether it names `place`.
    pub fn names(&self, place: Place) -> bool {
        self.0.contains(&Piece::Place(place))
    }

    /// The whole text, where `at` gives the path or number of a place.
    pub fn written(&self, at: impl Fn(Place) -> String) -> String {
        let written = self.0.iter().map(|piece| match piece {
            Piece::Plain(text) => text.clone(),
            Piece::Place(place) => at(*place),
        });
        written.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_in_and_plain_text_stays_whatever_it_looks_like() {
        let text = Text::from("dir = {data} ").then(Place::Data).then("/meta:").then(Place::Port("http"));
        let at = |place| match place {
            Place::Data => "/run/{own}/data".to_owned(),
            Place::Port(name) => format!("<{name}>"),
            other => panic!("{other:?}"),
        };
        assert_eq!(text.written(at), "dir = {data} /run/{own}/data/meta:<http>");
        assert!(text.names(Place::Data) && !text.names(Place::Own));
    }
}
