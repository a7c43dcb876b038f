// Server-sent events: what an answer of /v1/chat/completions is streamed as.

/**
 * Read events from a stream of bytes, however these are cut.
 *
 * @param {AsyncIterable<Uint8Array>|ReadableStream<Uint8Array>} body
 * @yields {string} The data of each event; lines of one event are joined.
 */
export async function* events(body) {
  const decoder = new TextDecoder();
  let waiting = "";
  let data = [];
  for await (const piece of chunks(body)) {
    waiting += decoder.decode(piece, { stream: true });
    const lines = waiting.split(/\r\n|\n|\r(?!$)/);
    waiting = lines.pop();
    for (const line of lines) {
      if (line === "" && data.length) {
        yield data.join("\n");
        data = [];
      } else if (line.startsWith("data:")) {
        data.push(line.slice(line[5] === " " ? 6 : 5));
      }
    }
  }
  // An event that no empty line ends is not whole: by the standard it is dropped.
}

async function* chunks(body) {
  if (!(body instanceof ReadableStream)) {
    yield* body;
    return;
  }
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => {}); // who stops reading has no use for the rest
  }
}
