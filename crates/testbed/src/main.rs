//! The testbed's command line: see the crate's documentation.

use std::process::ExitCode;

use clap::Parser as _;
use testbed::command_line::{CommandLine, Task};
use testbed::screenshots::Pictures;
use testbed::{bench, demo, programs, relay, screenshots, socks5_load, traffic};

fn main() -> ExitCode {
    match run(CommandLine::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("testbed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<ExitCode> {
    match task {
        Task::Demo(options) => demo::run(&options),
        Task::Bench { name, json } => bench::run(name.as_deref(), json).map(|()| ExitCode::SUCCESS),
        Task::Sink { listen } => traffic::sink(listen).map(|()| ExitCode::SUCCESS),
        Task::Source { connect, up, down, bytes_per_second } => {
            let transfer = traffic::source(connect, traffic::Order { up, down, bytes_per_second })?;
            println!("{}", serde_json::to_string(&transfer)?);
            Ok(ExitCode::SUCCESS)
        }
        Task::Socks5Load(order) => {
            println!("{}", serde_json::to_string(&socks5_load::load(&order)?)?);
            Ok(ExitCode::SUCCESS)
        }
        Task::PageLoad(order) => {
            println!("{}", serde_json::to_string(&bench::pages::load(&order)?)?);
            Ok(ExitCode::SUCCESS)
        }
        Task::Screenshots { out, every } => {
            let programs = programs::Programs::beside(&std::env::current_exe()?)?;
            screenshots::take(
                &programs,
                &out,
                if every { Pictures::EverySample } else { Pictures::Documentation },
            )?;
            Ok(ExitCode::SUCCESS)
        }
        Task::Relay { to } => relay::pass_on(to).map(|()| ExitCode::SUCCESS),
    }
}
