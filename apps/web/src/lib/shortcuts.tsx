// SPDX-License-Identifier: Apache-2.0
"use client";

import { createContext, useContext, useEffect, useRef } from "react";

/** Every shortcut, as the help dialog lists them. */
export const SHORTCUTS = [
  { keys: ["?"], does: "This help" },
  { keys: ["Ctrl", "K"], does: "Go to a page or a host" },
  { keys: ["/"], does: "Filter" },
  { keys: ["t"], does: "Charts as tables, and back (of the focused card, or of all)" },
  { keys: ["l"], does: "Live or paused" },
  { keys: ["["], does: "One range earlier" },
  { keys: ["]"], does: "One range later" },
  { keys: ["z"], does: "Twice the range" },
  { keys: ["y"], does: "Copy the link to what is shown, frozen to this data" },
  { keys: ["g", "f"], does: "Fleet" },
  { keys: ["g", "h"], does: "Hosts" },
  { keys: ["g", "e"], does: "Explore any signal" },
  { keys: ["Arrow keys"], does: "Move in a comb, heat map or chart; Enter opens a host" },
  { keys: ["Esc"], does: "Close what is open" },
] as const;

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));
}

/**
 * Calls the handler of a pressed key (`"/"`, `"t"`, `"ctrl+k"`) or of two keys one after the other (`"g f"`).
 * Single keys are ignored while a person types or a dialog is open.
 */
export function useShortcuts(handlers: Readonly<Record<string, () => void>>): void {
  const latest = useRef(handlers);
  latest.current = handlers;
  useEffect(() => {
    let prefix: { key: string; at: number } | null = null;
    const onKey = (event: KeyboardEvent): void => {
      if (event.defaultPrevented || event.altKey) return;
      const control = event.ctrlKey || event.metaKey;
      if (!control && (isTyping(event.target) || document.querySelector('[role="dialog"],[role="menu"]') !== null)) return;
      const pressed = control ? `ctrl+${event.key.toLowerCase()}` : event.key;
      const sequence = prefix && event.timeStamp - prefix.at < 1200 ? `${prefix.key} ${pressed}` : null;
      prefix = null;
      const handler = (sequence === null ? undefined : latest.current[sequence]) ?? latest.current[pressed];
      if (handler) {
        event.preventDefault();
        handler();
      } else if (pressed === "g") prefix = { key: "g", at: event.timeStamp };
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
}

/** Whether all charts are shown as tables; cards can differ from it. */
export const TablesContext = createContext<{ all: boolean; revision: number }>({ all: false, revision: 0 });

export function useTables(): { all: boolean; revision: number } {
  return useContext(TablesContext);
}
