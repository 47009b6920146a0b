/* Search in a site that is opened from a folder: browsers start no worker there, so a hidden frame does its work.
   The theme looks for this file by its name, and would otherwise load another one from the network. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.waiting = [];
      const script = document.createElement("script");
      script.src = new URL(url, location.href).href;
      document.documentElement.appendChild(this.frame);
      const inside = this.frame.contentWindow;
      // What the worker's code sends goes to the page, not to the frame itself.
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      script.onload = () => {
        this.loaded = true;
        this.waiting.splice(0).forEach((data) => this.postMessage(data));
      };
      inside.document.head.appendChild(script);
    }

    postMessage(data) {
      if (this.loaded) {
        const inside = this.frame.contentWindow;
        inside.dispatchEvent(new inside.MessageEvent("message", { data }));
      } else {
        this.waiting.push(data);
      }
    }

    terminate() {
      this.frame.remove();
    }
  };
}
