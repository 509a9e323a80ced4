// SPDX-License-Identifier: Apache-2.0
import { accessSync, constants, existsSync, mkdirSync, rmdirSync, statfsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { formatBytes } from "@waggle/units";
import type { Config } from "../config/config.ts";
import { readHostIdentity } from "../host/identity.ts";
import { readCredential, readEnrolmentToken } from "../stream/credential.ts";
import type { CheckResult } from "./check-result.ts";

/** The state directory: may it be used, is there room for the spool, is the credential closed to others. */
export function checkState(config: Config): CheckResult[] {
  const directory = checkDirectory(config.stateDirectory);
  if (directory.result === "FAIL") return [directory];
  return [directory, checkSpace(config), checkCredential(config)];
}

const group = "state";

function checkDirectory(path: string): CheckResult {
  const fix = `make it for the agent's user (install -d -o waggle-agent ${path}) or set WAGGLE_AGENT_STATE_DIRECTORY`;
  const result = (result: CheckResult["result"], cause: string): CheckResult => ({
    group,
    name: "directory",
    result,
    cause,
    fix: result === "PASS" ? "" : fix,
  });
  if (!existsSync(path)) {
    try {
      accessSync(dirname(path), constants.W_OK);
      return result("PASS", `${path} is not there yet and can be made`);
    } catch {
      return result("FAIL", `${path} is not there and ${dirname(path)} is not writable`);
    }
  }
  const probe = join(path, `.doctor-${process.pid}`);
  try {
    mkdirSync(probe);
    rmdirSync(probe);
    return result("PASS", path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return result("FAIL", `${path} cannot be written to by user ${process.getuid?.()} (${code})`);
  }
}

function checkSpace(config: Config): CheckResult {
  const path = existsSync(config.stateDirectory) ? config.stateDirectory : dirname(config.stateDirectory);
  const { bavail, bsize } = statfsSync(path);
  const free = bavail * bsize;
  const cause = `${formatBytes(free)} free for a spool of up to ${formatBytes(config.spoolBytesMax)}`;
  if (free > config.spoolBytesMax) return { group, name: "disk space", result: "PASS", cause, fix: "" };
  return {
    group,
    name: "disk space",
    result: "WARN",
    cause,
    fix: "free some space or lower WAGGLE_AGENT_SPOOL_BYTES; on a full disk windows are held in memory, and the oldest are dropped",
  };
}

function checkCredential(config: Config): CheckResult {
  const name = "credential";
  const path = join(config.stateDirectory, "credential.json");
  const token = tokenProblem(config);
  if (existsSync(path)) {
    if ((statSync(path).mode & 0o077) !== 0)
      return { group, name, result: "WARN", cause: `${path} can be read by other users`, fix: `chmod 600 ${path}` };
    const credential = readCredential(config.stateDirectory, readHostIdentity(config.hostRoot, config.stateDirectory).machineKey);
    if (credential !== undefined) return { group, name, result: "PASS", cause: `of host ${credential.hostName} (${credential.hostId})`, fix: "" };
    if (token === undefined)
      return {
        group,
        name,
        result: "WARN",
        cause: `${path} is unreadable or of another machine`,
        fix: "nothing: the agent enrols again with its token",
      };
    return {
      group,
      name,
      result: "FAIL",
      cause: `${path} is unreadable or of another machine, and ${token}`,
      fix: "put an enrolment token into a file and set WAGGLE_AGENT_ENROLMENT_TOKEN_FILE",
    };
  }
  if (token === undefined) return { group, name, result: "PASS", cause: "none yet; the agent enrols with its token", fix: "" };
  return {
    group,
    name,
    result: "FAIL",
    cause: `none yet, and ${token}`,
    fix: "put an enrolment token into a file and set WAGGLE_AGENT_ENROLMENT_TOKEN_FILE",
  };
}

/** Why there is no token to enrol with; undefined if there is one. */
function tokenProblem(config: Config): string | undefined {
  if (config.enrolmentTokenFile === undefined) return "WAGGLE_AGENT_ENROLMENT_TOKEN_FILE is not set";
  try {
    readEnrolmentToken(config.enrolmentTokenFile);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
