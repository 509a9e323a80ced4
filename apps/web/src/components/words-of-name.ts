// SPDX-License-Identifier: Apache-2.0

/** The words of `snake_case` and `CamelCase` names, which make the name again when they are put together. */
export function wordsOfName(name: string): string[] {
  return name.split(/(?<=[_.-])|(?<=[a-z0-9])(?=[A-Z])/);
}
