/**
 * `text` as one word for any POSIX shell: in single quotes, where nothing is special. The only place that quotes.
 * A character is sent as one byte: of one above 255 the lower half would be left, which may be a quote or a newline ("ħ", "Ċ").
 */
export function quote(text: string): string {
  if (text.includes("\0")) throw new RangeError("a shell word cannot hold a NUL character");
  if (/[^\x00-\xff]/.test(text)) throw new RangeError("a shell word is sent as bytes, and this one holds no bytes");
  return `'${text.replaceAll("'", "'\\''")}'`;
}
