// SPDX-License-Identifier: Apache-2.0
import { settings } from "../../apps/agent/src/config/config.ts";
import { environmentSchema } from "../../apps/api/src/config/config.ts";

/** docs/configuration.md, from the two configuration schemas. */
export function configurationReference(): string {
  return [
    "# Configuration",
    "",
    "Generated from the configuration schemas by `node scripts/generate-docs.ts`. Do not edit.",
    "",
    "An unknown variable with one of these prefixes is warned about at start; a wrong value stops the start with the variable's name, never its value.",
    "",
    "## Agent",
    "",
    "| variable | meaning | default |",
    "| --- | --- | --- |",
    ...Object.values(settings).map((setting) => row(setting.variable, setting.help, setting.fallback)),
    "",
    "## API",
    "",
    "| variable | meaning | default |",
    "| --- | --- | --- |",
    ...Object.entries(environmentSchema.shape).map(([variable, schema]) => row(variable, schema.description ?? "", defaultOf(schema))),
    "",
    "## Web app",
    "",
    "| variable | meaning | default |",
    "| --- | --- | --- |",
    row("WAGGLE_API_URL", "The REST API that `/api` is passed on to.", "http://127.0.0.1:7301"),
    row("PORT, HOSTNAME", "Where the web app listens.", "7300, 127.0.0.1 under `./waggle up`"),
    "",
  ].join("\n");
}

function row(variable: string, help: string, fallback: string): string {
  return `| \`${variable}\` | ${help.replaceAll("|", "\\|")} | ${fallback} |`;
}

function defaultOf(schema: { safeParse: (value: unknown) => { success: boolean; data?: unknown } }): string {
  const parsed = schema.safeParse(undefined);
  return parsed.success && parsed.data !== undefined ? `\`${String(parsed.data)}\`` : "none";
}
