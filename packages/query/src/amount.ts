// SPDX-License-Identifier: Apache-2.0
import { nearestName } from "./nearest-name.ts";
import { shown } from "./terms.ts";

/** A number in the unit of what it is compared with, or what is wrong with it. */
export type Amount =
  | { readonly value: number; readonly problem?: undefined }
  | { readonly value?: undefined; readonly problem: string; readonly suggestion?: string };

type Scales = Readonly<Record<string, number>>;

const time: Scales = { ns: 1, us: 1e3, µs: 1e3, μs: 1e3, ms: 1e6, s: 1e9, min: 60e9, m: 60e9, h: 3_600e9, d: 86_400e9 };
const bytes: Scales = {
  "": 1,
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};
const ratio: Scales = { "": 1, "%": 0.01 };
const energy: Scales = { µJ: 1, μJ: 1, uJ: 1, mJ: 1e3, J: 1e6, kJ: 1e9 };
const counted: Scales = { "": 1, k: 1e3, M: 1e6, G: 1e9 };
const thousandths: Scales = Object.fromEntries(Object.entries(counted).map(([name, factor]) => [name, factor * 1e3]));

function scalesOf(base: string): Scales {
  switch (base) {
    case "ns":
      return time;
    case "bytes":
      return bytes;
    case "ratio":
      return ratio;
    case "microjoules":
      return energy;
    case "milli":
      return thousandths;
    default:
      return counted;
  }
}

/**
 * Reads a number with a unit that fits what it is compared with. Times and energies need one: a bare `10` would be taken for milliseconds by one and
 * for nanoseconds by another.
 * @param unit as the catalogue and answers name it: `ns`, `bytes`, `ratio`, `milli`, `microjoules` or what is counted, each optionally with `/s`
 */
export function parseAmount(text: string, unit: string): Amount {
  const isRate = unit.endsWith("/s");
  const base = isRate ? unit.slice(0, -2) : unit;
  const match = /^([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?)(.*)$/s.exec(text);
  if (match === null) return { problem: `\`${shown(text)}\` is not a number.` };
  const [, digits = "", written = ""] = match;
  const number = Number(digits);
  if (!Number.isFinite(number)) return { problem: `\`${shown(digits)}\` is beyond what numbers can be.` };
  if (written.endsWith("/s") && !isRate)
    return { problem: "This is a value over the whole range and not a rate; compare `.rate` for one per second." };
  const name = isRate && written.endsWith("/s") ? written.slice(0, -2) : written;
  const scales = scalesOf(base);
  // Not `scales[name]`: an object also has what every object has.
  if (Object.hasOwn(scales, name)) return { value: number * (scales[name] as number) };
  // Nothing is nothing in any unit.
  if (name === "" && number === 0) return { value: 0 };
  const names = Object.keys(scales).filter((candidate) => candidate !== "" && !candidate.startsWith("μ"));
  const nearest = nearestUnit(name, names);
  const known = `; units are ${names.join(", ")}`;
  return {
    problem:
      name === ""
        ? `\`${shown(text)}\` has no unit${known}.`
        : `\`${name.slice(0, 20)}\` is no unit of what is counted in ${base === "1" ? "plain numbers" : base}${known}.`,
    ...(nearest === undefined ? {} : { suggestion: `${digits}${nearest}` }),
  };
}

/** Units are short: of two letters one wrong is another unit. */
function nearestUnit(name: string, names: readonly string[]): string | undefined {
  if (name === "") return undefined;
  const lower = name.toLowerCase();
  return names.find((candidate) => candidate.toLowerCase() === lower) ?? (name.length < 3 ? undefined : nearestName(name.slice(0, 20), names));
}
