// Texts to begin with, chosen by what the served model is for.

const SETS = [
  {
    labels: /^(spam|ham)$/i,
    texts: ["You have WON a prize, call now to claim it", "See you at 8?", "Your parcel waits, pay the fee here"],
  },
  {
    labels: /positive|negative|neutral/i,
    texts: ["It works, and it is quiet.", "Broke after two days, never again", "The box is blue."],
  },
];
const SHOP = [
  "Where is my order? It should have come on Monday",
  "You charged me twice!!",
  "Can I change the address of an order?",
];
const PROMPTS = [
  "Hello, order 4471-A never came. I bought the red kettle on 3 March.",
  "Say in one sentence what a tokenizer does.",
];

/** Return texts for a classifier with these labels. */
export function textsFor(labels) {
  return SETS.find((set) => labels.some((label) => set.labels.test(label)))?.texts ?? SHOP;
}

/** Return first messages for a language model. */
export function prompts() {
  return PROMPTS;
}
