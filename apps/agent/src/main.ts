// SPDX-License-Identifier: Apache-2.0
import { Command } from "commander";
import { ConfigError, settings } from "./config/config.ts";
import { agentVersion } from "./version.ts";

// The kernel shows this name for the agent's own system calls, so it comes before all else.
process.title = "waggle-agent";

const print = (text: string) => process.stdout.write(`${text}\n`);

const program = new Command("waggle-agent")
  .description("Counts what this host's kernel does, with eBPF, and streams the counts to a Waggle API.")
  .version(agentVersion, "-V, --version")
  .exitOverride();

program
  .command("run")
  .description("run the agent in the foreground until SIGTERM or SIGINT")
  .addHelpText(
    "after",
    () =>
      `\nEnvironment:\n${Object.values(settings)
        .map(({ variable, help, fallback }) => `  ${variable}\n      ${help}\n      Default: ${fallback}.`)
        .join("\n")}\n`,
  )
  .action(async () => {
    const { run } = await import("./commands/run.ts");
    await run(process.env, stopSignal());
    // gRPC keeps the timer of an attempt to connect, for seconds, also after the attempt was given up.
    process.exit(0);
  });

program
  .command("status")
  .description("show what the running agent sees, sends and costs; exits with 1 if it is not running")
  .option("--json", "print the whole report as JSON", false)
  .action(async (options: { json: boolean }) => {
    const { status } = await import("./commands/status.ts");
    process.exitCode = status(process.env, options, print);
  });

program
  .command("doctor")
  .description("check what the agent needs on this host; exits with 0 if nothing failed, 1 if something did")
  .option("--json", "print the checks as JSON", false)
  .option("--offline", "ask nothing over the network", false)
  .option("--verbose", "also show what passed, one by one", false)
  .action(async (options: { json: boolean; offline: boolean; verbose: boolean }) => {
    const { doctor } = await import("./commands/doctor.ts");
    process.exitCode = await doctor(process.env, options, print);
  });

program
  .command("probes")
  .description("look at what signals are made of")
  .command("list")
  .description("show for each signal its hooks, coverage, price and how full its maps are, of the running agent's last window")
  .option("--json", "print the whole report as JSON", false)
  .action(async (options: { json: boolean }) => {
    const { listProbes } = await import("./commands/probes.ts");
    process.exitCode = listProbes(process.env, options, print);
  });

program
  .command("version")
  .description("show the versions of the agent, Node.js and libbpf")
  .option("--json", "print the versions as JSON", false)
  .action(async (options: { json: boolean }) => {
    const { version } = await import("./commands/version.ts");
    print(await version(options));
  });

/** A stop that takes longer than this is stuck in the kernel or on a disk. */
const stopTimeoutMs = 3_000;

/** Aborted by the first SIGTERM or SIGINT; a second one, or the timeout, ends the process at once: what was spooled is on disk. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(1);
      setTimeout(() => process.exit(1), stopTimeoutMs).unref();
      controller.abort();
    });
  }
  return controller.signal;
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof ConfigError) {
    process.stderr.write(`waggle-agent: ${error.problems.join("\nwaggle-agent: ")}\n`);
    process.exitCode = 2;
  } else if (error instanceof Error && "exitCode" in error) {
    // commander has said already what is wrong with the command line, or printed the help that was asked for.
    process.exitCode = error.exitCode === 0 ? 0 : 2;
  } else {
    process.stderr.write(`waggle-agent: ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
