//! What a person sees on a real terminal, which is tmux's: while a run goes on, and what is left of it.

use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use sandbox::{Hold, Registry, content};
use tokio::time::{Instant, sleep};

use super::skip;
use crate::mirror::Mirror;
use crate::support::{PATIENCE, RUN, Workshop, within};

/// A repository whose name is too long for a line of 80 columns.
const LONG: &str = "team/with/a/rather/long/path/before/the/application";

/// So patient that an upload that is held never fails.
const PATIENT: [&str; 3] = ["run", "job.yaml", "--stall-timeout=10m"];

/// A terminal with a shell that runs the program, until this is dropped.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// Whether tmux is here; if not, says that the test is skipped.
    async fn is_here() -> bool {
        let version = tokio::process::Command::new("tmux").arg("-V").output().await;
        if version.is_err() {
            skip("no tmux on this machine");
        }
        version.is_ok()
    }

    /// Opens one of 24 rows, whose shell runs the program with these arguments once Enter is pressed, with a part of a
    /// command before it, as in `NO_COLOR=1`.
    fn open(workshop: &Workshop, columns: u32, before: &str, args: &[&str]) -> Self {
        let terminal = Self { socket: workshop.path().join("tmux") };
        let program = workshop.command(args);
        let words: Vec<&str> = [program.as_std().get_program()]
            .into_iter()
            .chain(program.as_std().get_args())
            .flat_map(|w| w.to_str())
            .collect();
        // Lines above, as on most terminals: what becomes longer when it gets narrower pushes the first ones out.
        let script = format!(
            r#"trap : INT; printf '\n\n\n\n'; read -r enter; {before} {}; echo "code $?"; exec cat"#,
            words.join(" ")
        );
        let mut tmux = terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-y", "24", "-x", &columns.to_string()]);
        tmux.arg(script).env_clear().current_dir(workshop.path()).env("LC_ALL", "C.UTF-8").env("SHELL", "/bin/sh");
        tmux.envs(program.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
        expect(tmux.output().unwrap());
        terminal
    }

    /// The same, and presses Enter.
    fn start(workshop: &Workshop, columns: u32, args: &[&str]) -> Self {
        let terminal = Self::open(workshop, columns, "", args);
        terminal.press("Enter");
        terminal
    }

    fn tmux(&self, args: &[&str]) -> std::process::Command {
        let mut tmux = std::process::Command::new("tmux");
        tmux.arg("-u").arg("-S").arg(&self.socket).args(args);
        tmux
    }

    fn ask(&self, args: &[&str]) -> String {
        expect(self.tmux(args).output().unwrap())
    }

    fn press(&self, key: &str) {
        self.ask(&["send-keys", key]);
    }

    /// All that was ever shown and is there still; a line that the terminal had to break is one.
    fn shown(&self) -> String {
        let shown = self.ask(&["capture-pane", "-p", "-J", "-S", "-"]);
        shown.lines().map(|line| line.trim_end().to_owned() + "\n").collect::<String>().trim().to_owned()
    }

    /// Waits until what is shown is so.
    async fn until(&self, is_so: impl Fn(&str) -> bool) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let shown = self.shown();
            if is_so(&shown) {
                return shown;
            }
            assert!(Instant::now() < end, "what the test waits for is never shown:\n{shown}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for the end of the program, after which nothing of the display is left, and the cursor is to be seen.
    async fn end(&self, code: i32) -> String {
        let left = self.until(|shown| shown.contains("\ncode ")).await;
        assert!(left.ends_with(&format!("\ncode {code}")), "{left}");
        for drawn in ["  push  ", "  resolve  ", " images · ", " sent, ", " or more", "looking for"] {
            assert!(!left.contains(drawn), "`{drawn}` is left:\n{left}");
        }
        assert_eq!(self.ask(&["display-message", "-p", "#{cursor_flag}"]).trim(), "1", "the cursor is hidden");
        left
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed before there was a server has none to end.
        let _ = self.tmux(&["kill-server"]).output();
    }
}

/// What the command printed; it must have succeeded.
#[track_caller]
fn expect(output: Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn is_within(shown: &str, columns: usize) -> bool {
    shown.lines().all(|line| line.chars().count() <= columns)
}

/// Two images with short names, and one with a long one, of which a blob is held.
async fn held() -> (Mirror, Hold) {
    let source = Registry::builder().start().await.unwrap();
    for (seed, tag) in [(1, "1.1"), (2, "1.2")] {
        source.store().put_image("team/app", Some(tag), &content::image(seed).build());
    }
    source.store().put_image(LONG, Some("1.29.3-alpine"), &content::image(3).build());
    let mirror = Mirror::of(source, &["team/app", LONG]).await.with_uploads();
    let hold = Hold::on(&mirror.destination, "PUT", &format!("{LONG}/blobs/uploads/"), 0);
    (mirror, hold)
}

/// What a person sees while the held image is all that is left.
async fn look(terminal: &Terminal, columns: usize) -> String {
    let is_drawn = |shown: &str| shown.contains("2 pushed") && is_within(shown, columns);
    let shown = terminal.until(|shown| is_drawn(shown) && shown.ends_with(":1.29.3-alpine")).await;
    assert_eq!(shown.lines().count(), 3, "two lines on the run, one on the image:\n{shown}");
    shown
}

/// What is shown without what differs from run to run.
fn masked(shown: &str) -> String {
    let mut text = shown.to_owned();
    for (pattern, mask) in [
        (r" · about [^·]* left", ""),
        (r"\d+(\.\d)? s\b", "TIME"),
        (r" +\d+(\.\d)? (B|KiB|MiB)\b", " SIZE"),
        (r"\[#* *\] +\d+%", "[BAR] SHARE"),
        (r" +\d+%", " SHARE"),
        (r"run [0-9a-f]{8}", "run RUN"),
        (r"127\.0\.0\.1:\d+", "HOST"),
    ] {
        text = regex::Regex::new(pattern).unwrap().replace_all(&text, mask).into_owned();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_shown_on_terminals_of_any_width_and_leaves_only_its_summary() {
    if !Terminal::is_here().await {
        return;
    }
    for columns in [80_u32, 200] {
        let (mirror, hold) = held().await;
        let terminal = Terminal::start(&mirror.workshop, columns, &PATIENT);
        within(hold.reached()).await;
        let before = look(&terminal, columns as usize).await;
        insta::assert_snapshot!(format!("terminal_{columns}"), masked(&before));

        // Narrow lines have the tag still; wide again, they are as they were, and nothing lies above them.
        terminal.ask(&["resize-window", "-x", "45"]);
        let narrow = look(&terminal, 45).await;
        assert!(narrow.contains("127.0.0") && narrow.contains('…'), "{narrow}");
        terminal.ask(&["resize-window", "-x", &columns.to_string()]);
        let again = terminal.until(|shown| shown.lines().last().map(str::len) == before.lines().last().map(str::len));
        assert_eq!(masked(&again.await), masked(&before));

        drop(hold);
        let left = terminal.end(0).await;
        assert!(left.contains("3 images") && left.contains("3 pushed"), "{left}");
        mirror.expect_all_tags();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_on_a_terminal_is_answered_above_the_display_and_a_second_one_takes_it_away() {
    if !Terminal::is_here().await {
        return;
    }
    let (mirror, hold) = held().await;
    let terminal = Terminal::start(&mirror.workshop, 80, &PATIENT);
    within(hold.reached()).await;
    look(&terminal, 80).await;
    terminal.press("C-c");
    let shown = terminal.until(|shown| shown.contains("interrupt again") && shown.ends_with("1.29.3-alpine")).await;
    assert!(shown.starts_with("stopping: finishing") && is_within(&shown, 80), "{shown}");
    assert_eq!(shown.lines().count(), 4, "{shown}");
    terminal.press("C-c");
    let left = terminal.end(5).await;
    let lines: Vec<&str> = left.lines().map(|line| line.split(':').next().unwrap_or_default()).collect();
    assert_eq!(lines, ["stopping", "stopped", "code 5"], "{left}");
    drop(hold);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_on_one_line_how_far_it_is() {
    if !Terminal::is_here().await {
        return;
    }
    let (mirror, _) = held().await;
    let hold = Hold::on(&mirror.source, "HEAD", &format!("{LONG}/manifests/"), 0);
    let terminal = Terminal::start(&mirror.workshop, 80, &["plan", "job.yaml", "--stall-timeout=10m"]);
    within(hold.reached()).await;
    let shown = terminal.until(|shown| shown.starts_with("planning: 2 images looked at so far · ")).await;
    assert_eq!(shown.lines().count(), 1, "{shown}");
    drop(hold);
    let left = terminal.end(0).await;
    assert!(!left.contains("planning") && left.contains("1.29.3-alpine"), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_is_down_is_told_on_a_terminal_in_whole_lines() {
    if !Terminal::is_here().await {
        return;
    }
    let (mirror, hold) = held().await;
    drop(hold);
    let job = std::fs::read_to_string(mirror.workshop.path().join("job.yaml")).unwrap();
    mirror.workshop.job(&job.replace(&mirror.destination.host(), "127.0.0.1:1"));
    let terminal = Terminal::start(&mirror.workshop, 80, &RUN);
    let left = terminal.end(1).await;
    let failed = left.lines().filter(|line| line.starts_with("failed  127.0.0.1:") && line.ends_with(')')).count();
    assert_eq!(failed, 3, "a line for each image:\n{left}");
    assert!(left.contains("3 failed"), "{left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dumb_terminal_gets_lines_alone_and_nobody_gets_colours_who_wants_none() {
    if !Terminal::is_here().await {
        return;
    }
    let colour = regex::Regex::new(r"\x1b\[[0-9;]*m").unwrap();
    for (before, has_escapes, has_colour) in
        [("", true, true), ("NO_COLOR=1", true, false), ("TERM=dumb", false, false)]
    {
        let (mirror, hold) = held().await;
        let before = format!("IMAGE_FACTORY_LOG=debug {before}");
        let terminal = Terminal::open(&mirror.workshop, 80, &before, &PATIENT);
        terminal.ask(&["pipe-pane", "cat > written"]);
        terminal.press("Enter");
        within(hold.reached()).await;
        drop(hold);
        let file = mirror.workshop.path().join("written");
        let written = || std::fs::read_to_string(&file).unwrap_or_default();
        terminal.until(|_| written().ends_with("code 0\r\n")).await;
        let written = written();
        assert_eq!((written.contains('\x1b'), colour.is_match(&written)), (has_escapes, has_colour), "{before}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_gets_no_escape_codes() {
    let (mirror, hold) = held().await;
    drop(hold);
    let output =
        mirror.workshop.command(&PATIENT).env("TERM", "xterm-256color").env("IMAGE_FACTORY_LOG", "debug").output();
    let output = within(output).await.unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(stdout.contains("3 pushed") && stderr.contains("DEBUG"), "{stdout}{stderr}");
    assert!(!stdout.contains('\x1b') && !stderr.contains('\x1b'), "{stdout}{stderr}");
}
