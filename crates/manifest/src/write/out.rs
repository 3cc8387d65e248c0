//! The text under construction: its column, its indentation, and what the last thing written was.

/// A text being written.
pub(super) struct Out {
    text: String,
    column: usize,
    /// Below 0 before anything has begun.
    depth: isize,
    /// Whether the last thing was blank, so that no blank is needed before the next.
    blank: bool,
    /// Whether nothing but indentation and list signs stands on this line.
    at_indent: bool,
}

const STEP: isize = 2;
const WIDTH: usize = 80;

impl Default for Out {
    fn default() -> Self {
        Self { text: String::new(), column: 0, depth: -1, blank: true, at_indent: true }
    }
}

impl Out {
    pub(super) fn finish(self) -> String {
        self.text
    }

    pub(super) fn at_indent(&self) -> bool {
        self.at_indent
    }

    /// Whether the line is full.
    pub(super) fn is_wide(&self) -> bool {
        self.column > WIDTH
    }

    /// Goes a step deeper, or stays in the same column; gives what [`Out::leave`] needs.
    pub(super) fn deeper(&mut self, same_column: bool) -> isize {
        let outer = self.depth;
        self.depth = match outer {
            ..0 => 0,
            _ if same_column => outer,
            _ => outer + STEP,
        };
        outer
    }

    /// Goes deeper for the further lines of a scalar.
    pub(super) fn deeper_scalar(&mut self) -> isize {
        let outer = self.depth;
        self.depth = outer.max(0) + STEP;
        outer
    }

    pub(super) fn leave(&mut self, outer: isize) {
        self.depth = outer;
    }

    /// Begins a line at the present depth, unless this one has just begun.
    pub(super) fn indent(&mut self) {
        let depth = self.depth.max(0) as usize;
        if !self.at_indent || self.column > depth || (self.column == depth && !self.blank) {
            self.line_break();
        }
        while self.column < depth {
            self.push(' ');
        }
        self.blank = true;
        self.at_indent = true;
    }

    /// A sign after a blank: `-`, `?`; `indents` if what follows may stand on the same line as its first part.
    pub(super) fn indicator(&mut self, sign: &str, indents: bool) {
        self.space();
        self.raw(sign);
        self.at_indent &= indents;
    }

    /// A sign without a blank before it.
    pub(super) fn sign(&mut self, sign: &str) {
        self.raw(sign);
        self.at_indent = false;
    }

    /// Something that needs no quotes and no folding.
    pub(super) fn plain(&mut self, text: &str) {
        self.space();
        self.raw(text);
        self.at_indent = false;
    }

    pub(super) fn space(&mut self) {
        if !self.blank {
            self.push(' ');
        }
    }

    pub(super) fn raw(&mut self, text: &str) {
        text.chars().for_each(|char| self.push(char));
        self.blank = false;
    }

    pub(super) fn push(&mut self, char: char) {
        self.text.push(char);
        self.column += 1;
    }

    pub(super) fn line_break(&mut self) {
        self.text.push('\n');
        self.column = 0;
    }

    /// Records that a line has begun, or that text was written.
    pub(super) fn line_begun(&mut self, begun: bool) {
        self.at_indent = begun;
        if begun {
            self.blank = true;
        }
    }
}
