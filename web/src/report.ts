// The script of `sonho report`: the training view on data that stands in the file itself.

import "./base.css";
import "./learn/learn.css";
import { mount } from "svelte";
import Training from "./learn/Training.svelte";

const target = document.getElementById("report");
const data = document.getElementById("runs");
if (target && data) {
  target.replaceChildren();
  mount(Training, { target, props: { runs: JSON.parse(data.textContent ?? "[]") } });
}
