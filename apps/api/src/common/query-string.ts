// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";

/** A parameter that may be repeated. */
export const list = z.union([z.string(), z.array(z.string())]).transform((value) => (Array.isArray(value) ? value : [value]));

/** Words separated by commas; the parameter may be repeated too. */
export const commaList = list.transform((values) =>
  values
    .flatMap((text) => text.split(","))
    .map((text) => text.trim())
    .filter((text) => text !== ""),
);

/** A whole number from 1 to `max`. */
export const wholeNumber = (max: number) =>
  z
    .string()
    .regex(/^\d{1,6}$/, "Write a whole number.")
    .transform(Number)
    .pipe(z.int().min(1).max(max));

/** Yes or no. */
export const flag = z.enum(["true", "false"]).transform((value) => value === "true");
