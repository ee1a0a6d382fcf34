//! Field expansion: `id,from{id,name},comments.filter(stream).limit(0).summary(total_count)`.

/// One field that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// What stands behind dots: names with what is in their parentheses.
    pub(crate) arguments: Vec<(String, String)>,
    /// What stands in braces, as it was written. None: no braces.
    pub(crate) inner: Option<String>,
}

impl Field {
    pub(crate) fn argument(&self, name: &str) -> Option<&str> {
        self.arguments.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Where the text is no list of fields, in characters from its beginning.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) usize);

pub(crate) fn parse(text: &str) -> Result<Vec<Field>, Broken> {
    let mut reader = Reader { text, at: 0 };
    let mut fields = Vec::new();
    loop {
        fields.push(reader.field()?);
        match reader.next() {
            None => return Ok(fields),
            Some(',') => {}
            Some(_) => return Err(Broken(reader.at)),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn name(&mut self) -> Result<&'a str, Broken> {
        let begin = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.next();
        }
        let name = self.text.get(begin..self.at).unwrap_or_default();
        if name.is_empty() { Err(Broken(self.at)) } else { Ok(name) }
    }

    /// What stands between here and the closing character.
    fn enclosed(&mut self, open: char, close: char) -> Result<&'a str, Broken> {
        let (begin, mut depth) = (self.at, 1_usize);
        while let Some(c) = self.next() {
            depth = match c {
                c if c == open => depth + 1,
                c if c == close => depth - 1,
                _ => depth,
            };
            if depth == 0 {
                return Ok(self.text.get(begin..self.at - 1).unwrap_or_default());
            }
        }
        Err(Broken(self.at))
    }

    fn field(&mut self) -> Result<Field, Broken> {
        let name = self.name()?.to_owned();
        let (mut arguments, mut inner) = (Vec::new(), None);
        loop {
            match self.peek() {
                Some('.') => {
                    self.next();
                    let argument = self.name()?.to_owned();
                    if self.next() != Some('(') {
                        return Err(Broken(self.at));
                    }
                    arguments.push((argument, self.enclosed('(', ')')?.to_owned()));
                }
                Some('{') if inner.is_none() => {
                    self.next();
                    inner = Some(self.enclosed('{', '}')?.to_owned());
                }
                _ => return Ok(Field { name, arguments, inner }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_arguments_and_fields_of_their_own() {
        let fields = parse("id,replies.limit(50){id,from{id}},comments.filter(stream).limit(0)").unwrap();
        let names: Vec<_> = fields.iter().map(|field| field.name.as_str()).collect();
        assert_eq!(names, ["id", "replies", "comments"]);
        assert_eq!(
            (fields[1].argument("limit"), fields[1].inner.as_deref()),
            (Some("50"), Some("id,from{id}"))
        );
        assert_eq!((fields[2].argument("filter"), fields[2].argument("limit")), (Some("stream"), Some("0")));
        for broken in ["", "id,", "a{b", "a.b", "a.b(c", "a}", "a b"] {
            assert!(parse(broken).is_err(), "{broken}");
        }
    }
}
