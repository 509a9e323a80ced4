// SPDX-License-Identifier: Apache-2.0
import type { LoggerService } from "@nestjs/common";
import { pino } from "pino";

/** The injection token and type of the process's logger: `log.info({ hostId }, "constant message")`. */
export abstract class Log {
  abstract trace(fields: object, message: string): void;
  abstract debug(fields: object, message: string): void;
  abstract info(fields: object, message: string): void;
  abstract warn(fields: object, message: string): void;
  abstract error(fields: object, message: string): void;
}

/** JSON lines on standard output. Anything that may carry a credential is cut out before it is written. */
export function createLog(level: string): Log {
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    redact: {
      paths: [
        "authorization",
        "cookie",
        "token",
        "password",
        "*.authorization",
        "*.cookie",
        "*.token",
        "*.password",
        "*.headers.authorization",
        "*.headers.cookie",
      ],
      censor: "[redacted]",
    },
  });
}

/** Nest's own messages, in the same shape; its start-up chatter goes to debug. */
export function nestLogger(log: Log): LoggerService {
  const write =
    (level: "debug" | "warn" | "error") =>
    (message: unknown, ...rest: unknown[]) => {
      const context = rest.at(-1);
      log[level](
        { ...(typeof context === "string" ? { context } : {}), ...(message instanceof Error ? { err: message } : { text: String(message) }) },
        "nest",
      );
    };
  return { log: write("debug"), debug: write("debug"), verbose: write("debug"), warn: write("warn"), error: write("error"), fatal: write("error") };
}
