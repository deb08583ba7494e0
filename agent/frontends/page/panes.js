// What the main part shows, by the first word of the route: fetched once the list is in sight, or for a route that wants it.

import { ask } from "./ask.js";
import { chat } from "./chat.js";
import { compose } from "./compose.js";
import { devices } from "./devices.js";
import { newSession } from "./new.js";
import { pair } from "./pair.js";
import { settings } from "./settings.js";

/** Views of each route; of more than one, one is below the other. */
export const PANES = {
  devices: [devices],
  new: [newSession],
  pair: [pair],
  s: [chat, ask, compose],
  settings: [settings],
};
