/** `text` as one word for any POSIX shell: in single quotes, where nothing is special. The only place that quotes. */
export function quote(text: string): string {
  if (text.includes("\0")) throw new Error("a shell word cannot hold a NUL character");
  return `'${text.replaceAll("'", "'\\''")}'`;
}
