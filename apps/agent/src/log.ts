// SPDX-License-Identifier: Apache-2.0

/** Facts of one log line; values are numbers, strings or booleans so that every line stays greppable and flat. */
export type LogFields = Readonly<Record<string, string | number | boolean | bigint | null | undefined>>;

/** One line per decision: a constant message, the facts as fields. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

export const logLevels = ["debug", "info", "warn", "error", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

/**
 * Writes JSON lines (`time`, `level`, `message`, then the fields). A library is not worth it here: the agent logs a handful of flat lines
 * per hour and its memory is what the host pays for.
 */
export function createLogger(level: LogLevel, write: (line: string) => void = (line) => process.stderr.write(line)): Logger {
  const least = logLevels.indexOf(level);
  const at = (name: LogLevel) => {
    if (logLevels.indexOf(name) < least) return () => {};
    return (message: string, fields: LogFields = {}) => {
      const line = { time: new Date().toISOString(), level: name, message, ...fields };
      write(`${JSON.stringify(line, (_key, value) => (typeof value === "bigint" ? value.toString() : value))}\n`);
    };
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

/** Says nothing; for tests and one-shot commands. */
export const silentLogger: Logger = createLogger("silent");
