//! The manual's table of commands and options, made from the command line itself.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory as _};

use super::CommandLine;

/// Every command with its arguments and options, as Markdown.
#[must_use]
pub fn manual() -> String {
    let mut root = CommandLine::command();
    root.build();
    let mut text = String::from("## Options of every command\n");
    options(&mut text, root.get_arguments().filter(|arg| arg.is_global_set()));
    for command in root.get_subcommands().filter(|command| command.get_name() != "help") {
        describe(&mut text, "wiregrant", command);
    }
    text
}

fn describe(text: &mut String, path: &str, command: &Command) {
    let path = format!("{path} {}", command.get_name());
    let verbs: Vec<_> = command.get_subcommands().filter(|verb| verb.get_name() != "help").collect();
    // A command that can do without a verb is one itself.
    if verbs.is_empty() || command.is_subcommand_negates_reqs_set() {
        describe_itself(text, &path, command);
    }
    verbs.into_iter().for_each(|verb| describe(text, &path, verb));
}

fn describe_itself(text: &mut String, path: &str, command: &Command) {
    let own = || command.get_arguments().filter(|arg| !arg.is_global_set() && !is_help(arg));
    let mut line = path.to_owned();
    for arg in own() {
        let shown = usage(arg);
        let needed = arg.is_required_set();
        write!(line, " {}", if needed { shown } else { format!("[{shown}]") }).expect("a string takes it");
    }
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    write!(text, "\n### `{line}`\n\n{about}.\n").expect("a string takes it");
    options(text, own());
}

fn is_help(arg: &Arg) -> bool {
    ["help", "version"].contains(&arg.get_id().as_str())
}

fn usage(arg: &Arg) -> String {
    let value = || {
        let names = arg.get_value_names().unwrap_or_default();
        names.first().map(|name| format!("<{name}>")).unwrap_or_default()
    };
    let takes_value = arg.get_action().takes_values();
    match arg.get_long() {
        Some(long) if takes_value => format!("--{long} {}", value()),
        Some(long) => format!("--{long}"),
        None => value(),
    }
}

fn options<'a>(text: &mut String, args: impl Iterator<Item = &'a Arg>) {
    let rows: Vec<String> = args
        .map(|arg| {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let defaults: Vec<_> =
                arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
            let default = match defaults.join(" ") {
                _ if arg.is_hide_default_value_set() || !arg.get_action().takes_values() => String::new(),
                none if none.is_empty() => String::new(),
                value => format!(" (default `{value}`)"),
            };
            let env =
                arg.get_env().map(|name| format!(" (env `{}`)", name.to_string_lossy())).unwrap_or_default();
            format!("| `{}` | {}{default}{env} |\n", usage(arg).replace('|', "\\|"), help.replace('|', "\\|"))
        })
        .collect();
    if !rows.is_empty() {
        text.push_str("\n| | |\n|---|---|\n");
        text.extend(rows);
    }
}
