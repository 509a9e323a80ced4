// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { launchEnvironment, nodeFlags } from "../../apps/agent/src/launch.ts";
import { launchEnvironment as apiLaunchEnvironment } from "../../apps/api/src/launch.ts";
import { type StagedAgent, withAgentPrivileges } from "./agent-stage.ts";
import type { Ports } from "./options.ts";
import type { ComponentSpec } from "./supervisor.ts";

/** What every component's command line is made of. */
export interface UpContext {
  readonly root: string;
  readonly dataDirectory: string;
  readonly ports: Ports;
}

const LOOPBACK = "127.0.0.1";

/** A component ends with the supervisor, even if that is killed: none may stay behind holding ports and locks. */
const boundToSupervisor = (command: readonly string[]): string[] => ["/usr/bin/setpriv", "--pdeathsig=TERM", ...command];

function spec(name: string, command: readonly string[], cwd: string, env: Readonly<Record<string, string>>): ComponentSpec {
  const [executable, ...args] = command;
  return { name, command: executable as string, args, cwd, env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", LANG: "C.UTF-8", ...env } };
}

export function clickhouseSpec({ root, dataDirectory, ports }: UpContext): ComponentSpec {
  const main = join(root, "packages/clickhouse-embedded/src/main.ts");
  const command = [process.execPath, main, "--data", join(dataDirectory, "clickhouse"), "--http-port", String(ports.clickhouse)];
  return spec("clickhouse", boundToSupervisor(command), root, {});
}

export function apiSpec({ root, dataDirectory, ports }: UpContext): ComponentSpec {
  const embeddedClickhouse: Record<string, string> =
    process.env["WAGGLE_CLICKHOUSE_URL"] === undefined
      ? {
          WAGGLE_CLICKHOUSE_URL: `http://${LOOPBACK}:${ports.clickhouse}`,
          WAGGLE_CLICKHOUSE_USERNAME: "waggle",
          WAGGLE_CLICKHOUSE_PASSWORD_FILE: join(dataDirectory, "clickhouse", "password"),
        }
      : {};
  return spec("api", boundToSupervisor([process.execPath, "--enable-source-maps", join(root, "apps/api/dist/main.js")]), join(root, "apps/api"), {
    ...apiLaunchEnvironment,
    ...waggleEnvironment(["WAGGLE_API_", "WAGGLE_CLICKHOUSE_", "WAGGLE_DATABASE_"]),
    ...embeddedClickhouse,
    WAGGLE_API_HTTP_PORT: String(ports.rest),
    WAGGLE_API_GRPC_PORT: String(ports.ingest),
    WAGGLE_API_DATA_DIRECTORY: dataDirectory,
  });
}

export function webSpec({ root, ports }: UpContext): ComponentSpec {
  const directory = join(root, "apps/web/.next/standalone/apps/web");
  return spec("web", boundToSupervisor([process.execPath, join(directory, "server.js")]), directory, {
    NODE_ENV: "production",
    NEXT_TELEMETRY_DISABLED: "1",
    HOSTNAME: LOOPBACK,
    PORT: String(ports.web),
    WAGGLE_API_URL: `http://${LOOPBACK}:${ports.rest}`,
  });
}

/** The agent's settings; the same for the running agent and for a person asking it with `./waggle agent status`. */
export function agentEnvironment(ports: Ports, staged: StagedAgent): Readonly<Record<string, string>> {
  return {
    ...launchEnvironment,
    ...waggleEnvironment(["WAGGLE_AGENT_"]),
    WAGGLE_AGENT_API_URL: `http://${LOOPBACK}:${ports.ingest}`,
    WAGGLE_AGENT_STATE_DIRECTORY: staged.stateDirectory,
    WAGGLE_AGENT_ENROLMENT_TOKEN_FILE: staged.enrolmentTokenFile,
  };
}

export function agentCommand(staged: StagedAgent, words: readonly string[]): string[] {
  return withAgentPrivileges([staged.nodePath, ...nodeFlags, staged.bundlePath, ...words]);
}

export function agentSpec({ ports }: UpContext, staged: StagedAgent): ComponentSpec {
  return spec("agent", agentCommand(staged, ["run"]), staged.directory, agentEnvironment(ports, staged));
}

export function simulatorSpec({ root, dataDirectory, ports }: UpContext, hosts: number): ComponentSpec {
  const bundle = join(root, "apps/simulator/dist/simulator.mjs");
  const tokenFile = join(dataDirectory, "enrolment-token");
  const words = ["--hosts", String(hosts), "--api", `${LOOPBACK}:${ports.ingest}`, "--token-file", tokenFile, "--backfill", "15"];
  return spec("simulator", boundToSupervisor([process.execPath, bundle, ...words]), root, {});
}

function waggleEnvironment(prefixes: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && prefixes.some((prefix) => entry[0].startsWith(prefix)),
    ),
  );
}
