// What a task costs the processor, in milliseconds: the machine may be busy with other tests, so the time of day tells little.
export function processorMs(task: () => void): number {
  const began = process.cpuUsage();
  task();
  const { user, system } = process.cpuUsage(began);
  return (user + system) / 1000;
}
