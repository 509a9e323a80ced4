// SPDX-License-Identifier: Apache-2.0
"use client";

import { useEffect, useState } from "react";

/** The theme's colours as canvases need them: resolved values, not variables. */
export interface Palette {
  readonly heat: readonly string[];
  readonly surface: string;
  readonly line: string;
  readonly lineStrong: string;
  readonly none: string;
  readonly critical: string;
  readonly text: string;
  readonly focus: string;
}

function read(): Palette {
  const style = getComputedStyle(document.documentElement);
  const value = (name: string): string => style.getPropertyValue(name).trim();
  return {
    heat: Array.from({ length: 9 }, (_, i) => value(`--h${i}`)),
    surface: value("--surface"),
    line: value("--line"),
    lineStrong: value("--line-strong"),
    none: value("--none"),
    critical: value("--crit"),
    text: value("--text"),
    focus: value("--focus"),
  };
}

/** null until mounted; renewed when the theme changes, by the menu or by the system. */
export function usePalette(): Palette | null {
  const [palette, setPalette] = useState<Palette | null>(null);
  useEffect(() => {
    const update = (): void => setPalette(read());
    update();
    const observer = new MutationObserver(update);
    observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    const media = window.matchMedia("(prefers-color-scheme: light)");
    media.addEventListener("change", update);
    return () => {
      observer.disconnect();
      media.removeEventListener("change", update);
    };
  }, []);
  return palette;
}
