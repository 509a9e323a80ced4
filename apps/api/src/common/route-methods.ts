// SPDX-License-Identifier: Apache-2.0

/** Which methods the addresses of an application take: what the router finds by method and address is nothing where the method alone is wrong. */
export class RouteMethods {
  readonly #routes = new Map<string, { readonly pattern: RegExp; readonly methods: Set<string> }>();

  /** @param path as the router takes it: `/hosts/:id/settings` */
  add(methods: string | readonly string[], path: string): void {
    let route = this.#routes.get(path);
    if (route === undefined) {
      const parts = path.split("/").map((part) => (part.startsWith(":") ? "[^/]+" : part.replace(/[^\w-]/g, "\\$&")));
      route = { pattern: new RegExp(`^${parts.join("/")}$`), methods: new Set() };
      this.#routes.set(path, route);
    }
    for (const method of [methods].flat()) route.methods.add(method);
  }

  /** Methods of an address as it was sent, in the order of the alphabet; empty: it is no address at all. */
  of(url: string): string[] {
    const [path = ""] = url.split("?");
    const found = [...this.#routes.values()].filter(({ pattern }) => pattern.test(path));
    return [...new Set(found.flatMap(({ methods }) => [...methods]))].sort();
  }
}
