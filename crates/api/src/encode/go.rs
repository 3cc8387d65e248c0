//! JSON text as Go's encoder writes it.

use serde_json::{Number, Value};

/// The text of a tree: compact, or with two spaces a level. `<`, `>`, `&` and the two line separators of Unicode are
/// escaped, as Go does so that the text can stand in HTML.
pub fn go_json(value: &Value, pretty: bool) -> String {
    let mut writer = Writer { out: String::with_capacity(256), pretty, level: 0 };
    writer.value(value);
    writer.out
}

struct Writer {
    out: String,
    pretty: bool,
    level: usize,
}

impl Writer {
    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.out.push_str("null"),
            Value::Bool(flag) => self.out.push_str(if *flag { "true" } else { "false" }),
            Value::Number(number) => self.number(number),
            Value::String(text) => self.text(text),
            Value::Array(items) => self.block('[', ']', items, |writer, item| writer.value(item)),
            Value::Object(map) => self.block('{', '}', map, |writer, (name, value)| {
                writer.text(name);
                writer.out.push_str(if writer.pretty { ": " } else { ":" });
                writer.value(value);
            }),
        }
    }

    fn block<T>(
        &mut self,
        open: char,
        close: char,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.out.push(open);
        self.level += 1;
        let mut empty = true;
        for item in items {
            if !empty {
                self.out.push(',');
            }
            empty = false;
            self.line();
            write(self, item);
        }
        self.level -= 1;
        if !empty {
            self.line();
        }
        self.out.push(close);
    }

    fn line(&mut self) {
        if self.pretty {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n("  ", self.level));
        }
    }

    fn text(&mut self, text: &str) {
        self.out.push('"');
        // Plain stretches go in whole; nearly every text is one.
        let mut from = 0;
        for (at, byte) in text.bytes().enumerate() {
            let escape: &str = match byte {
                b'"' => "\\\"",
                b'\\' => "\\\\",
                b'\n' => "\\n",
                b'\r' => "\\r",
                b'\t' => "\\t",
                0x08 => "\\b",
                0x0c => "\\f",
                b'<' => "\\u003c",
                b'>' => "\\u003e",
                b'&' => "\\u0026",
                0..0x20 => "",
                // The first byte of U+2028 and U+2029, among others.
                0xe2 if text[at..].starts_with(['\u{2028}', '\u{2029}']) => "",
                _ => continue,
            };
            self.out.push_str(&text[from..at]);
            if !escape.is_empty() {
                self.out.push_str(escape);
                from = at + 1;
            } else if let Some(c) = text[at..].chars().next() {
                self.out.push_str(&format!("\\u{:04x}", u32::from(c)));
                from = at + c.len_utf8();
            }
        }
        self.out.push_str(&text[from..]);
        self.out.push('"');
    }

    fn number(&mut self, number: &Number) {
        match number.as_f64() {
            Some(float) if number.is_f64() => self.float(float),
            _ => self.out.push_str(&number.to_string()),
        }
    }

    /// The shortest digits that read back the same; an exponent from 1e21 up and below 1e-6.
    fn float(&mut self, float: f64) {
        let size = float.abs();
        if size != 0.0 && !(1e-6..1e21).contains(&size) {
            let text = format!("{float:e}");
            // Rust writes `1e21` where Go writes `1e+21`.
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let sign = if exponent.starts_with('-') { "" } else { "+" };
            self.out.push_str(&format!("{digits}e{sign}{exponent}"));
        } else {
            self.out.push_str(&format!("{float}"));
        }
    }
}
