//! `screenshots`: pictures of the pages for the documentation, taken by the testbed in a real browser.

use crate::checkout::Checkout;
use crate::child;
use crate::demo;
use crate::failure::Failure;
use crate::packages;

pub fn run(checkout: &Checkout, arguments: &[String]) -> Result<(), Failure> {
    packages::install(&[packages::INTERFACES, packages::DEMO, packages::BROWSER])?;
    child::run(&mut checkout.cargo(&["build", "--workspace", "--bins", "--locked"]))?;
    demo::become_testbed(&checkout.target.join("debug/testbed"), "screenshots", arguments)
}
