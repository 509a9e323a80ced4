// SPDX-License-Identifier: Apache-2.0
"use client";

import { Menu } from "@base-ui/react/menu";
import { Check, SunMoon } from "lucide-react";
import { useState } from "react";
import { currentTheme, setTheme, THEMES, type Theme } from "@/lib/theme";
import floating from "./floating.module.css";
import styles from "./shell.module.css";

const NAMES: Readonly<Record<Theme, string>> = { dark: "Dark", light: "Light", system: "As the system" };

export function ThemeMenu() {
  const [theme, setChosen] = useState<Theme | null>(null);
  return (
    <Menu.Root onOpenChange={(open) => open && setChosen(currentTheme())}>
      <Menu.Trigger className={styles["item"]}>
        <SunMoon size={15} strokeWidth={1.5} aria-hidden="true" />
        <span className={styles["footLabel"]}>Theme</span>
        <span className="visually-hidden">: choose</span>
      </Menu.Trigger>
      <Menu.Portal>
        <Menu.Positioner className={floating["positioner"]} sideOffset={6} align="start">
          <Menu.Popup className={floating["popup"]}>
            <Menu.RadioGroup
              value={theme}
              onValueChange={(value: Theme) => {
                setTheme(value);
                setChosen(value);
              }}
            >
              {THEMES.map((name) => (
                <Menu.RadioItem key={name} value={name} className={floating["item"]} closeOnClick>
                  <span className={floating["check"]}>
                    <Menu.RadioItemIndicator>
                      <Check size={15} strokeWidth={1.5} />
                    </Menu.RadioItemIndicator>
                  </span>
                  {NAMES[name]}
                </Menu.RadioItem>
              ))}
            </Menu.RadioGroup>
          </Menu.Popup>
        </Menu.Positioner>
      </Menu.Portal>
    </Menu.Root>
  );
}
