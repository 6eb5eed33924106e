//! Short names of runs and checkpoints: the end of each path that no other has.
//!
//! A whole path says more about somebody's machine than about a model.

/// Short names for paths.
#[derive(Debug, Default)]
pub struct Names {
    /// The parts of each path.
    paths: Vec<Vec<String>>,
}

impl Names {
    /// Names that are different for different `paths`. A path that is the end of another is taken to be the same.
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let mut found = Self::default();
        for path in paths {
            let parts = parts(path);
            match found.position(&parts) {
                Some(place) if found.paths[place].len() < parts.len() => found.paths[place] = parts,
                Some(_) => {}
                None => found.paths.push(parts),
            }
        }
        found
    }

    /// The name of one of the paths.
    pub fn name(&self, path: &str) -> String {
        let parts = parts(path);
        let place = self.position(&parts);
        let is_shared = |length: usize| {
            let end = &parts[parts.len() - length..];
            (0..).zip(&self.paths).any(|(at, other)| Some(at) != place && other.ends_with(end))
        };
        let length = (1..parts.len()).find(|length| !is_shared(*length)).unwrap_or(parts.len());
        parts[parts.len() - length..].join("/")
    }

    /// The place of the path that these parts are the end of, or that is the end of them.
    fn position(&self, parts: &[String]) -> Option<usize> {
        self.paths.iter().position(|path| path.ends_with(parts) || parts.ends_with(path))
    }
}

/// The last part of a path, which says nothing about the machine.
pub fn last_part(path: &str) -> String {
    parts(path).pop().unwrap_or_default()
}

/// The parts of a path that say something; a single dot for none of them.
fn parts(path: &str) -> Vec<String> {
    let is_meaningful = |part: &&str| !["", ".", "..", "checkpoints"].contains(part);
    let parts: Vec<String> = path.split('/').filter(is_meaningful).map(str::to_owned).collect();
    if parts.is_empty() { vec![".".to_owned()] } else { parts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_shortest_ends_that_differ() {
        let paths = ["/home/me/runs/a", "runs/b/", "old/b", "data/models/minilm-l6"];
        let names = Names::of(paths);
        assert_eq!(paths.map(|path| names.name(path)), ["a", "runs/b", "old/b", "minilm-l6"]);
    }

    #[test]
    fn one_run_has_one_name_from_wherever_it_is_seen() {
        let names =
            Names::of(["../runs/a", "/home/me/runs/a", "runs/a/checkpoints/step-000010", "./"]);
        assert_eq!(names.name("/home/me/runs/a"), names.name("../runs/a"));
        assert_eq!(names.name("runs/a"), "a");
        assert_eq!(names.name("runs/a/checkpoints/step-000010"), "step-000010");
        assert_eq!(names.name("./"), ".");
    }
}
