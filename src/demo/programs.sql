-- Views, routines, triggers and events of the demo shop; created after the rows so that loading writes no audit.
USE `shop`;

CREATE VIEW `order_totals` AS
  SELECT o.`id`, o.`customer`, o.`placed`, o.`status`, o.`total`, SUM(l.`line_total`) AS `lines_total`, COUNT(*) AS `lines`
  FROM `orders` o JOIN `order_lines` l ON l.`order_id` = o.`id`
  GROUP BY o.`id`, o.`customer`, o.`placed`, o.`status`, o.`total`;

-- Sorts before the view it stands on.
CREATE VIEW `best_customers` AS
  SELECT c.`id`, c.`display_name`, c.`tier`, SUM(t.`lines_total`) AS `spent`, COUNT(*) AS `orders`
  FROM `customers` c JOIN `order_totals` t ON t.`customer` = c.`id`
  WHERE t.`status` <> 'cancelled'
  GROUP BY c.`id`, c.`display_name`, c.`tier`;

CREATE SQL SECURITY INVOKER VIEW `open_orders` AS
  SELECT `id`, `customer`, `placed`, `total` FROM `orders` WHERE `status` = 'open' WITH CASCADED CHECK OPTION;

DELIMITER ;;
CREATE FUNCTION `with_vat`(net DECIMAL(12,2), rate DECIMAL(4,3)) RETURNS DECIMAL(12,2)
  DETERMINISTIC NO SQL
  COMMENT 'gross amount; the name isn''t ideal'
BEGIN
  RETURN ROUND(net * (1 + rate), 2);
END;;

CREATE FUNCTION `orders_of`(customer_id INT UNSIGNED) RETURNS INT
  READS SQL DATA
  RETURN (SELECT COUNT(*) FROM `orders` WHERE `customer` = customer_id);;

CREATE PROCEDURE `place_order`(IN customer_id INT UNSIGNED, IN product_id MEDIUMINT UNSIGNED, IN how_many SMALLINT UNSIGNED)
  MODIFIES SQL DATA
BEGIN
  DECLARE new_order BIGINT UNSIGNED;
  DECLARE net DECIMAL(10,2);
  DECLARE EXIT HANDLER FOR SQLEXCEPTION
  BEGIN
    ROLLBACK; -- half an order is worse than none
    RESIGNAL;
  END;
  SELECT `price` INTO net FROM `products` WHERE `id` = product_id;
  START TRANSACTION;
  INSERT INTO `orders` (`customer`, `ship_to`, `placed`, `total`, `note`)
    SELECT customer_id, COALESCE(`default_address`, (SELECT MIN(`id`) FROM `addresses` WHERE `customer` = customer_id)),
      UTC_TIMESTAMP(6), net * how_many, 'placed; by "procedure"'
    FROM `customers` WHERE `id` = customer_id;
  SET new_order = LAST_INSERT_ID();
  INSERT INTO `order_lines` (`order_id`, `line`, `product`, `quantity`, `unit_price`)
    VALUES (new_order, 1, product_id, how_many, net);
  INSERT INTO `stock_movements` (`moved_on`, `product`, `change_by`, `reason`)
    VALUES (UTC_DATE(), product_id, -CAST(how_many AS SIGNED), 'sold');
  COMMIT;
END;;

CREATE TRIGGER `orders_placed` AFTER INSERT ON `orders` FOR EACH ROW
BEGIN
  INSERT INTO `audit` (`who`, `action`, `order_id`, `after_change`)
    VALUES (CURRENT_USER(), 'placed', NEW.`id`, JSON_OBJECT('status', NEW.`status`, 'total', NEW.`total`));
END;;

CREATE TRIGGER `orders_changed` AFTER UPDATE ON `orders` FOR EACH ROW
BEGIN
  IF NOT (OLD.`status` <=> NEW.`status`) THEN
    INSERT INTO `audit` (`who`, `action`, `order_id`, `before_change`, `after_change`)
      VALUES (CURRENT_USER(), 'changed', NEW.`id`, JSON_OBJECT('status', OLD.`status`), JSON_OBJECT('status', NEW.`status`));
  END IF;
END;;

CREATE TRIGGER `orders_deleted` BEFORE DELETE ON `orders` FOR EACH ROW
  INSERT INTO `audit` (`who`, `action`, `order_id`, `before_change`)
    VALUES (CURRENT_USER(), 'deleted', OLD.`id`, JSON_OBJECT('status', OLD.`status`));;

CREATE EVENT `forget_old_searches` ON SCHEDULE EVERY 1 DAY STARTS '2026-01-01 03:00:00'
  ON COMPLETION PRESERVE ENABLE
  DO BEGIN
    DELETE FROM `search_log` WHERE `at` < NOW() - INTERVAL 90 DAY;
  END;;

CREATE EVENT `cancel_stale_orders` ON SCHEDULE EVERY 1 HOUR STARTS '2026-01-01 00:30:00'
  DISABLE COMMENT 'switched off; see ticket "4711"'
  DO UPDATE `orders` SET `status` = 'cancelled' WHERE `status` = 'open' AND `placed` < NOW() - INTERVAL 30 DAY;;
DELIMITER ;
