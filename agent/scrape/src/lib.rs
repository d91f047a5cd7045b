//! Scrape manager, pools, loops, limits, staleness.
