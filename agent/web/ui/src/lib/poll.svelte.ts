// A value that is fetched now and again while its page is shown.
import { onMount } from 'svelte';

export type Polled<T> = { value: T | undefined; error: string; refresh: () => Promise<void> };

/** Fetches at once and then every few seconds; an error leaves the last value in place. */
export function polled<T>(fetch: () => Promise<T>, seconds = 5): Polled<T> {
  const state: Polled<T> = $state({
    value: undefined,
    error: '',
    refresh: async () => {
      try {
        state.value = await fetch();
        state.error = '';
      } catch (error) {
        state.error = error instanceof Error ? error.message : String(error);
      }
    },
  });
  onMount(() => {
    void state.refresh();
    const timer = setInterval(() => void state.refresh(), seconds * 1000);
    return () => clearInterval(timer);
  });
  return state;
}
