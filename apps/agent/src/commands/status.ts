// SPDX-License-Identifier: Apache-2.0
import { loadConfig } from "../config/config.ts";
import { readStatusReport, whyNotRunning } from "../status/status-report.ts";
import { renderStatus } from "../status/status-screen.ts";

/** `waggle-agent status`: what the agent of this state directory last said. Returns the exit code: 0 running, 1 not running. */
export function status(environment: NodeJS.ProcessEnv, options: { json: boolean }, print: (text: string) => void): number {
  const { config } = loadConfig(environment);
  let report: ReturnType<typeof readStatusReport>;
  try {
    report = readStatusReport(config.stateDirectory);
  } catch (error) {
    const reason = (error as Error).message;
    print(options.json ? JSON.stringify({ isRunning: false, reason }) : `waggle-agent is not running: ${reason}`);
    return 1;
  }
  const reason = whyNotRunning(report, Date.now());
  if (options.json) print(JSON.stringify({ isRunning: reason === undefined, reason: reason ?? null, ...report }, null, 2));
  else print(renderStatus(report, Date.now(), reason));
  return reason === undefined ? 0 : 1;
}
